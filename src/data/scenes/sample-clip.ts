/** Draws clips: what happens, in which order, which way, how often. */
import { type Cell, cellsOf } from "./grid.js";
import type { RandomStream } from "./random.js";
import { drawObjects } from "./sample-grid.js";
import {
  type Actor,
  type ClipEvent,
  clipEvents,
  type Direction,
  directions,
  type Story,
} from "./scene.js";

type Point = readonly [number, number];

/** Fewest frames in which every story fits. */
export const fewestFrames = 4;

const twoByTwo = cellsOf({ rows: 2, columns: 2 });
const centreOf = ({ row, column }: Cell): Point => [(column + 0.5) / 2, (row + 0.5) / 2];

const stayAt = (point: Point, extent: number) =>
  ({ from: point, to: point, extents: [extent, extent] }) as const;

/** `count` different frames from 0 on, ascending; the first is 0, so that no clip begins with nothing. */
const drawStarts = (random: RandomStream, numFrames: number, count: number): number[] => {
  const later = random.draw(
    Array.from({ length: numFrames - 1 }, (_, at) => at + 1),
    count - 1,
  );
  return [0, ...later.sort((first, second) => first - second)];
};

const drawAppear = (random: RandomStream, numFrames: number): Actor[] => {
  const names = drawObjects(random, 2 + random.integer(3));
  const cells = random.draw(twoByTwo, names.length);
  const starts = drawStarts(random, numFrames, names.length);
  return names.map((name, at) => ({
    name,
    ...stayAt(centreOf(cells[at]), random.between(0.34, 0.44)),
    frames: [starts[at], numFrames - 1],
    isFlipped: random.chance(0.5),
  }));
};

const drawParade = (random: RandomStream, numFrames: number): Actor[] => {
  const names = drawObjects(random, 2 + random.integer(3));
  const starts = drawStarts(random, numFrames, names.length);
  return names.map((name, at) => ({
    name,
    ...stayAt([random.between(0.35, 0.65), random.between(0.4, 0.6)], random.between(0.5, 0.7)),
    frames: [starts[at], (starts[at + 1] ?? numFrames) - 1],
    isFlipped: random.chance(0.5),
  }));
};

const nearEdge = 0.17;

/** From one edge to the other; `lane` is the place across the direction. */
const pathOf = (direction: Direction, lane: number): readonly [Point, Point] => {
  const far = 1 - nearEdge;
  switch (direction) {
    case "left":
      return [
        [far, lane],
        [nearEdge, lane],
      ];
    case "right":
      return [
        [nearEdge, lane],
        [far, lane],
      ];
    case "up":
      return [
        [lane, far],
        [lane, nearEdge],
      ];
    case "down":
      return [
        [lane, nearEdge],
        [lane, far],
      ];
  }
};

const drawMove = (random: RandomStream, numFrames: number): Actor[] => {
  const names = drawObjects(random, 1 + random.integer(3));
  // Lanes are parallel: nothing crosses or covers anything.
  const [back, forth]: readonly Direction[] = random.chance(0.5)
    ? directions.slice(0, 2)
    : directions.slice(2);
  return names.map((name, at) => {
    const [from, to] = pathOf(random.chance(0.5) ? back : forth, (at + 0.5) / names.length);
    const extent = random.between(0.24, 0.3);
    return {
      name,
      from,
      to,
      extents: [extent, extent],
      frames: [0, numFrames - 1],
      // Renders look one way; were they turned with the motion, one frame would give it away.
      isFlipped: random.chance(0.5),
    };
  });
};

type Course = Pick<Actor, "extents" | "frames">;

/** How each event runs, for an actor of a `small` and a `large` extent; `moment` is the frame of the change. */
const courseOf: Readonly<
  Record<ClipEvent, (small: number, large: number, moment: number, last: number) => Course>
> = {
  grows: (small, large, _, last) => ({ extents: [small, large], frames: [0, last] }),
  shrinks: (small, large, _, last) => ({ extents: [large, small], frames: [0, last] }),
  appears: (_, large, moment, last) => ({ extents: [large, large], frames: [moment, last] }),
  disappears: (_, large, moment) => ({ extents: [large, large], frames: [0, moment - 1] }),
};

const drawChange = (random: RandomStream, numFrames: number): Actor[] => {
  const names = drawObjects(random, 1 + random.integer(4));
  const cells = random.draw(twoByTwo, names.length);
  const event = random.pick(clipEvents);
  const last = numFrames - 1;
  // Between a third and two thirds of the clip.
  const third = Math.floor(numFrames / 3);
  const moment = Math.ceil(numFrames / 3) + random.integer(third);
  const actors = names.map((name, at): Actor => {
    const small = random.between(0.14, 0.18);
    const large = random.between(0.36, 0.44);
    const still = random.chance(0.3) ? small : large;
    const point = centreOf(cells[at]);
    const course: Course =
      at === 0
        ? courseOf[event](small, large, moment, last)
        : { extents: [still, still], frames: [0, last] };
    return { name, from: point, to: point, ...course, isFlipped: random.chance(0.5) };
  });
  return actors.sort((first, second) => first.frames[0] - second.frames[0]);
};

/** Draws the actors of a story over `numFrames` frames, sorted by when they are first seen. */
export const sampleActors = (random: RandomStream, story: Story, numFrames: number): Actor[] => {
  switch (story) {
    case "appear":
      return drawAppear(random, numFrames);
    case "parade":
      return drawParade(random, numFrames);
    case "move":
      return drawMove(random, numFrames);
    case "change":
      return drawChange(random, numFrames);
  }
};
