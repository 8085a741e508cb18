/** Kinds of objects: which one is an animal, of what kind is X, is there a vehicle. */
import { placeName } from "../grid.js";
import {
  type Category,
  categories,
  findObjectClass,
  mayCountAs,
  objectClasses,
  withArticle,
} from "../object-classes.js";
import type { RandomStream } from "../random.js";
import { areShapes, createFamily, yesNo } from "./question.js";

const categoryOf = (name: string): Category => findObjectClass(name)?.category ?? "other";

/** "an animal", "food", "furniture": the last two cannot be counted. */
const nounOf = (category: Category): string =>
  category === "food" || category === "furniture" ? category : withArticle(category);

export const category = createFamily(
  "category",
  "medium",
  "simple",
  ({ grid: { things } }, random) => {
    if (things.length < 2 || areShapes(things)) return undefined;
    const named = categories.filter((kind) => {
      const fitting = things.filter(({ name }) => mayCountAs(categoryOf(name), kind));
      return kind !== "other" && fitting.length === 1 && categoryOf(fitting[0].name) === kind;
    });
    if (named.length === 0) return undefined;
    const kind = random.pick(named);
    const answer = things.find(({ name }) => categoryOf(name) === kind)?.name;
    return answer === undefined
      ? undefined
      : { question: `Which object is ${nounOf(kind)}?`, answer };
  },
);

export const kind = createFamily("kind", "medium", "simple", ({ grid }, random) => {
  if (areShapes(grid.things)) return undefined;
  const named = grid.things.filter(({ name }) => categoryOf(name) !== "other");
  if (named.length === 0) return undefined;
  const answer = random.pick([...new Set(named.map(({ name }) => categoryOf(name)))]);
  const thing = random.pick(named.filter(({ name }) => categoryOf(name) === answer));
  return { question: `What kind of object is at the ${placeName(grid, thing)}?`, answer };
});

const askable = categories.filter((entry) => entry !== "other");
const numClasses = objectClasses.length;

/** Chance that none of `numSpecial` classes is among `numDrawn` different ones. */
const chanceOfNone = (numSpecial: number, numDrawn: number): number => {
  let chance = 1;
  for (let drawn = 0; drawn < numDrawn; drawn++)
    chance *= Math.max(0, numClasses - numSpecial - drawn) / (numClasses - drawn);
  return chance;
};

/** Chances of "yes" and of a "no" without doubt for a category, among `numDrawn` different objects. */
const chancesOf = (entry: Category, numDrawn: number) => {
  const numOwn = objectClasses.filter((one) => one.category === entry).length;
  const numDoubtful = objectClasses.filter((one) => mayCountAs(one.category, entry)).length;
  return { yes: 1 - chanceOfNone(numOwn, numDrawn), no: chanceOfNone(numDoubtful, numDrawn) };
};

/** A category, the more often the less certain its answer is. */
const pickAskable = (numDrawn: number, random: RandomStream): Category => {
  const weights = askable.map((entry) => {
    const { yes, no } = chancesOf(entry, numDrawn);
    return Math.min(yes, no);
  });
  return random.pickWeighted(askable, weights);
};

/**
 * Whether something of a category is there. Animals nearly always are and buildings nearly never, so the likelier
 * answer to each is thinned out until both are equally likely: else the category alone would tell.
 */
export const categoryPresence = createFamily(
  "category-presence",
  "coarse",
  "simple",
  ({ theme, grid: { things } }, random) => {
    // A scene made for a category holds one of it more often than chance would have it.
    if (theme === "category" || areShapes(things)) return undefined;
    const names = [...new Set(things.map(({ name }) => name))];
    // Which category is tried must not depend on the scene, or its answer would: one try, no second one.
    const tried = pickAskable(names.length, random);
    const isThere = names.some((name) => categoryOf(name) === tried);
    if (!isThere && names.some((name) => mayCountAs(categoryOf(name), tried))) return undefined;
    const { yes, no } = chancesOf(tried, names.length);
    if (!random.chance(isThere ? no / yes : yes / no)) return undefined;
    return { question: `Is there ${nounOf(tried)} in the image?`, answer: yesNo(isThere) };
  },
);
