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

const namedClasses = objectClasses.filter((entry) => entry.category !== "other");

export const categoryPresence = createFamily(
  "category-presence",
  "coarse",
  "simple",
  ({ grid: { things } }, random) => {
    if (areShapes(things)) return undefined;
    const own = things.map(({ name }) => categoryOf(name)).filter((entry) => entry !== "other");
    // Absent kinds by the number of their members, as present ones come.
    const absent = namedClasses
      .map((entry) => entry.category)
      .filter((entry) => !things.some(({ name }) => mayCountAs(categoryOf(name), entry)));
    if (own.length === 0 || absent.length === 0) return undefined;
    const isThere = random.chance(0.5);
    const entry = random.pick(isThere ? own : absent);
    return { question: `Is there ${nounOf(entry)} in the image?`, answer: yesNo(isThere) };
  },
);
