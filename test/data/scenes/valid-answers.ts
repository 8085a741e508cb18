/**
 * All answers that a person with the scene before them could defend, by brute force over everything in the scene. Made
 * from the question's text alone and not from the code that asked it: one pattern and one search for each question.
 */
import {
  type Category,
  findObjectClass,
  objectClasses,
} from "../../../src/data/scenes/object-classes.js";
import type {
  Actor,
  ClipScene,
  DetailScene,
  Grid,
  PlacedThing,
  Scene,
} from "../../../src/data/scenes/scene.js";

type Match = RegExpMatchArray;
type Finder<S> = readonly [RegExp, (match: Match, scene: S) => (string | number | undefined)[]];

const bool = (value: boolean) => [value ? "yes" : "no"];
const placeWords = (grid: Grid, { row, column }: { row: number; column: number }): string => {
  const y = (row + 0.5) / grid.rows;
  const x = (column + 0.5) / grid.columns;
  const vertical = y < 0.4 ? "top" : y > 0.6 ? "bottom" : "middle";
  const horizontal = x < 0.4 ? "left" : x > 0.6 ? "right" : "centre";
  return vertical === "middle" && horizontal === "centre" ? "centre" : `${vertical} ${horizontal}`;
};
const atPlace = (grid: Grid, place: string) =>
  grid.things.filter((thing) => placeWords(grid, thing) === place);
const singular = (plural: string): string =>
  objectClasses.find((entry) => entry.plural === plural)?.name ??
  (plural === "crosses" ? "cross" : plural.slice(0, -1));
const tileOf = (grid: Grid, { row, column }: PlacedThing) =>
  grid.tiles?.[row * grid.columns + column];
const named = (things: readonly PlacedThing[], name: string) =>
  things.filter((one) => one.name === name);
const categoryOf = (name: string) => findObjectClass(name)?.category;
/** Categories that some would put an object of `category` into as well. */
const lenient: Partial<Record<Category, Category[]>> = {
  fruit: ["food", "plant"],
  vegetable: ["food", "plant", "fruit"],
  food: ["fruit", "vegetable"],
  plant: ["fruit", "vegetable"],
};
const couldBe = (name: string, category: string): boolean => {
  const own = categoryOf(name);
  if (own === undefined) return false;
  return own === category || (lenient[own]?.some((other) => other === category) ?? false);
};

const simple: readonly Finder<Extract<Scene, { kind: "simple" }>>[] = [
  [/^(What is this|What object is shown)\?$/, (_, { grid }) => grid.things.map(({ name }) => name)],
  [
    /^What colour is the background\?$/,
    ({ input }, { background }) =>
      input && background.pattern === "plain" ? [background.name] : [],
  ],
  [/^How many (?:objects|shapes) are there\?$/, (_, { grid }) => [grid.things.length]],
  [
    /^How many (\w+) are there\?$/,
    ([, plural], { grid }) => [named(grid.things, singular(plural)).length],
  ],
  [
    /^Is there (?:an? )?(\w+) in the image\?$/,
    ([, category], { grid }) => [
      ...new Set(
        grid.things.some(({ name }) => categoryOf(name) === category)
          ? ["yes"]
          : grid.things.map(({ name }) => (couldBe(name, category) ? "maybe" : "no")),
      ),
    ],
  ],
  [
    /^Is there an? (\w+) (\w+)\?$/,
    ([, colour, name], { grid }) =>
      bool(grid.things.some((thing) => thing.name === name && thing.colour === colour)),
  ],
  [/^Is there an? (\w+)\?$/, ([, name], { grid }) => bool(named(grid.things, name).length > 0)],
  [
    /^What colour is behind the (\w+)\?$/,
    ([, name], { grid }) => named(grid.things, name).map((thing) => tileOf(grid, thing)),
  ],
  [
    /^What colour is the (\w+)\?$/,
    ([, name], { grid }) => named(grid.things, name).map(({ colour }) => colour),
  ],
  [
    /^What is on the (\w+) tile\?$/,
    ([, colour], { grid }) => {
      const tiles = (grid.tiles ?? []).flatMap((tile, at) => (tile === colour ? [at] : []));
      return tiles.map(
        (at) =>
          grid.things.find(({ row, column }) => row * grid.columns + column === at)?.name ??
          "nothing",
      );
    },
  ],
  [
    /^Which shape is (\w+)\?$/,
    ([, colour], { grid }) =>
      grid.things.filter((thing) => thing.colour === colour).map(({ name }) => name),
  ],
  [
    /^What is directly (left of|right of|above|below) the (\w+)\?$/,
    ([, side, name], { grid }) =>
      named(grid.things, name).flatMap((thing) =>
        grid.things
          .filter(({ row, column }) => {
            const [down, right] = [row - thing.row, column - thing.column];
            if (side === "left of") return down === 0 && right === -1;
            if (side === "right of") return down === 0 && right === 1;
            return right === 0 && down === (side === "above" ? -1 : 1);
          })
          .map((other) => other.name),
      ),
  ],
  [
    /^Is the (\w+) (left of|right of|above|below) the (\w+)\?$/,
    ([, one, side, other], { grid }) =>
      named(grid.things, one).flatMap((first) =>
        named(grid.things, other).flatMap((second) => {
          const isRow = side === "left of" || side === "right of";
          // Neither beside nor above each other: a person could say that it is both.
          if (isRow ? first.row !== second.row : first.column !== second.column) return ["maybe"];
          const step = isRow ? second.column - first.column : second.row - first.row;
          return bool(side === "left of" || side === "above" ? step > 0 : step < 0);
        }),
      ),
  ],
  [
    /^Where is the (\w+)\?$/,
    ([, name], { grid }) => named(grid.things, name).map((thing) => placeWords(grid, thing)),
  ],
  [
    /^(?:What|Which shape) is at the ([\w ]+)\?$/,
    ([, place], { grid }) => {
      const found = atPlace(grid, place).map(({ name }) => name);
      return found.length > 0 ? found : ["nothing"];
    },
  ],
  [
    /^Are the objects at the ([\w ]+) and at the ([\w ]+) the same\?$/,
    ([, one, other], { grid }) =>
      atPlace(grid, one).flatMap((first) =>
        atPlace(grid, other).flatMap((second) => bool(first.name === second.name)),
      ),
  ],
  [
    /^Which object is the (largest|smallest)\?$/,
    ([, word], { grid }) =>
      grid.things
        .filter((thing) =>
          // Within a quarter of the extreme counts as a candidate.
          grid.things.every((other) =>
            word === "largest"
              ? thing.extent * 1.25 >= other.extent
              : thing.extent <= other.extent * 1.25,
          ),
        )
        .map(({ name }) => name),
  ],
  [
    /^Which object is different from the others\?$/,
    (_, { grid }) =>
      grid.things
        .filter((thing) => {
          const others = grid.things.filter((other) => other !== thing);
          return (
            new Set(others.map(({ name }) => name)).size === 1 && others[0].name !== thing.name
          );
        })
        .map(({ name }) => name),
  ],
  [
    /^Which object is (?:an? )?(\w+)\?$/,
    ([, category], { grid }) =>
      grid.things.filter(({ name }) => couldBe(name, category)).map(({ name }) => name),
  ],
  [
    /^What kind of object is at the ([\w ]+)\?$/,
    ([, place], { grid }) => atPlace(grid, place).map(({ name }) => categoryOf(name)),
  ],
];

const money = (cents: number) => (cents / 100).toFixed(2);
const bars = ({ content }: DetailScene) => (content.type === "chart" ? content.bars : []);
const items = ({ content }: DetailScene) => (content.type === "receipt" ? content.items : []);
const panels = ({ content }: DetailScene) => ("panels" in content ? content.panels : []);
const labelled = ({ content }: DetailScene) =>
  content.type === "labels" ? content.grid.things : [];
const cells = ({ content }: DetailScene) =>
  content.type === "table"
    ? content.rows.flatMap((person, row) =>
        content.columns.map((day, column) => ({
          person,
          day,
          value: String(content.values[row][column]),
        })),
      )
    : [];
const extremeBars = (word: string, scene: DetailScene) => {
  const values = bars(scene).map(({ value }) => value);
  const wanted = word === "tallest" ? Math.max(...values) : Math.min(...values);
  return bars(scene).filter(({ value }) => value === wanted);
};

const detail: readonly Finder<DetailScene>[] = [
  [
    /^What number is under the (\w+)\?$/,
    ([, name], scene) => named(labelled(scene), name).map(({ label }) => label),
  ],
  [
    /^Which object has the number (\d+)\?$/,
    ([, number], scene) =>
      labelled(scene)
        .filter(({ label }) => String(label) === number)
        .map(({ name }) => name),
  ],
  [
    /^What (number|word|code) is on the card\?$/,
    (_, scene) => panels(scene).map(({ text }) => text),
  ],
  [
    /^What (number|word|code) is on the (\w+) card\?$/,
    ([, content, colour], scene) =>
      panels(scene)
        .filter((panel) => panel.colour === colour)
        .map((panel) => (panel.content === content ? panel.text : undefined)),
  ],
  [
    /^What does the (\w+) sign say\?$/,
    ([, colour], scene) =>
      panels(scene)
        .filter((panel) => panel.colour === colour)
        .map(({ text }) => text),
  ],
  [
    /^Which way does the (\w+) sign point\?$/,
    ([, colour], scene) =>
      panels(scene)
        .filter((panel) => panel.colour === colour)
        .map(({ arrow }) => arrow),
  ],
  [
    /^Which way is the (\w+)\?$/,
    ([, word], scene) =>
      panels(scene)
        .filter(({ text }) => text === word)
        .map(({ arrow }) => arrow),
  ],
  [
    /^What is the total\?$/,
    (_, scene) => [money(items(scene).reduce((sum, { cents }) => sum + cents, 0))],
  ],
  [
    /^How much is the (\w+)\?$/,
    ([, item], scene) =>
      items(scene)
        .filter(({ name }) => name === item)
        .map(({ cents }) => money(cents)),
  ],
  [
    /^Which item costs ([\d.]+)\?$/,
    ([, price], scene) =>
      items(scene)
        .filter(({ cents }) => money(cents) === price)
        .map(({ name }) => name),
  ],
  [/^How many items are on the receipt\?$/, (_, scene) => [items(scene).length]],
  [
    /^What number does (\w+) have on (\w+)\?$/,
    ([, who, when], scene) =>
      cells(scene)
        .filter(({ person, day }) => person === who && day === when)
        .map(({ value }) => value),
  ],
  [
    /^Who has (\d+) on (\w+)\?$/,
    ([, number, when], scene) =>
      cells(scene)
        .filter(({ value, day }) => value === number && day === when)
        .map(({ person }) => person),
  ],
  [
    /^Which bar is the (tallest|shortest)\?$/,
    ([, word], scene) => extremeBars(word, scene).map(({ name }) => name),
  ],
  [
    /^What colour is the (tallest|shortest) bar\?$/,
    ([, word], scene) => extremeBars(word, scene).map(({ colour }) => colour),
  ],
  [
    /^What is the value of the (\w+) bar\?$/,
    ([, bar], scene) =>
      bars(scene)
        .filter(({ name }) => name === bar)
        .map(({ value }) => value),
  ],
];

/** What an actor does between the first and the last frame of the clip, in so many words. */
const deeds = ({ extents, frames, from, to }: Actor, { numFrames }: ClipScene): string[] => [
  ...(extents[1] > extents[0] ? ["grows"] : []),
  ...(extents[1] < extents[0] ? ["shrinks"] : []),
  ...(frames[0] > 0 ? ["appears"] : []),
  ...(frames[1] < numFrames - 1 ? ["disappears"] : []),
  ...(to[0] > from[0] ? ["right"] : to[0] < from[0] ? ["left"] : []),
  ...(to[1] > from[1] ? ["down"] : to[1] < from[1] ? ["up"] : []),
];
const called = ({ actors }: ClipScene, name: string) => actors.filter((one) => one.name === name);
/** Names by the frame in which they are first seen; two at once would be one entry of two names. */
const order = ({ actors }: ClipScene): string[] => {
  const byFrame = new Map<number, string[]>();
  for (const { name, frames } of actors)
    byFrame.set(frames[0], [...(byFrame.get(frames[0]) ?? []), name]);
  return [...byFrame].sort(([one], [other]) => one - other).map(([, names]) => names.join("+"));
};

const clip: readonly Finder<ClipScene>[] = [
  [
    /^What happens to the (\w+)\?$/,
    ([, name], scene) =>
      called(scene, name).flatMap((actor) => {
        const done = deeds(actor, scene).map((deed) => `it ${deed}`);
        return done.length > 0 ? done : ["nothing"];
      }),
  ],
  [
    /^Which object (grows|shrinks|appears|disappears)\?$/,
    ([, deed], scene) =>
      scene.actors.filter((actor) => deeds(actor, scene).includes(deed)).map(({ name }) => name),
  ],
  [
    /^Which way does the (\w+) move\?$/,
    ([, name], scene) => called(scene, name).flatMap((actor) => deeds(actor, scene)),
  ],
  [
    /^Is the (\w+) shown before the (\w+)\?$/,
    ([, one, other], scene) => bool(order(scene).indexOf(one) < order(scene).indexOf(other)),
  ],
  [/^Which object is shown first\?$/, (_, scene) => order(scene).slice(0, 1)],
  [/^Which object is the last to be shown\?$/, (_, scene) => order(scene).slice(-1)],
  [
    /^What comes right (after|before) the (\w+)\?$/,
    ([, side, name], scene) => [
      order(scene)[order(scene).indexOf(name) + (side === "after" ? 1 : -1)],
    ],
  ],
  [
    /^How many different objects are shown in the clip\?$/,
    (_, { actors }) => [new Set(actors.map(({ name }) => name)).size],
  ],
];

const search = <S>(finders: readonly Finder<S>[], question: string, scene: S): string[] => {
  for (const [pattern, find] of finders) {
    const match = question.match(pattern);
    if (match) return find(match, scene).map((answer) => String(answer));
  }
  throw new Error(`no pattern knows the question "${question}"`);
};

/** Every answer that is valid; the same one twice where two things give it. */
export const validAnswers = (scene: Scene, question: string): string[] => {
  switch (scene.kind) {
    case "simple":
      return search(simple, question, scene);
    case "detail":
      return search(detail, question, scene);
    case "clip":
      return search(clip, question, scene);
  }
};
