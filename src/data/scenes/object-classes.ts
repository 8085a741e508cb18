/**
 * What stands in a scene: 84 objects of the 3-D emoji renders that nobody confuses with each other, and six flat
 * shapes. Left out on purpose: names of two words, plural words (jeans), look-alikes (mouse and rabbit, ship and boat),
 * and words that are colours too (orange).
 */
import type { ColourName } from "./palette.js";

/** Kinds of objects that questions ask for; `other` has no name and is never asked for. */
export const categories = [
  "animal",
  "fruit",
  "vegetable",
  "food",
  "vehicle",
  "instrument",
  "tool",
  "garment",
  "plant",
  "building",
  "furniture",
  "other",
] as const;
export type Category = (typeof categories)[number];

export type ObjectClass = {
  readonly name: string;
  readonly plural: string;
  readonly category: Category;
  /** What most of the render's pixels are, by `measureDominantColour` at full size. */
  readonly colour: ColourName;
  /** Code points as in the file name of the render. */
  readonly emoji: string;
};

type Row = readonly [name: string, plural: string, category: Category, ColourName, emoji: string];

const rows: readonly Row[] = [
  ["dog", "dogs", "animal", "orange", "1f415"],
  ["cat", "cats", "animal", "purple", "1f408-200d-2b1b"],
  ["horse", "horses", "animal", "brown", "1f40e"],
  ["cow", "cows", "animal", "grey", "1f404"],
  ["pig", "pigs", "animal", "pink", "1f416"],
  ["elephant", "elephants", "animal", "grey", "1f418"],
  ["giraffe", "giraffes", "animal", "orange", "1f992"],
  ["zebra", "zebras", "animal", "grey", "1f993"],
  ["rabbit", "rabbits", "animal", "grey", "1f407"],
  ["duck", "ducks", "animal", "grey", "1f986"],
  ["owl", "owls", "animal", "brown", "1f989"],
  ["penguin", "penguins", "animal", "purple", "1f427"],
  ["parrot", "parrots", "animal", "red", "1f99c"],
  ["turtle", "turtles", "animal", "green", "1f422"],
  ["snake", "snakes", "animal", "green", "1f40d"],
  ["frog", "frogs", "animal", "green", "1f438"],
  ["fish", "fish", "animal", "blue", "1f41f"],
  ["crab", "crabs", "animal", "pink", "1f980"],
  ["snail", "snails", "animal", "brown", "1f40c"],
  ["butterfly", "butterflies", "animal", "red", "1f98b"],
  ["bee", "bees", "animal", "orange", "1f41d"],
  ["spider", "spiders", "animal", "black", "1f577-fe0f"],
  ["lion", "lions", "animal", "orange", "1f981"],
  ["panda", "pandas", "animal", "purple", "1f43c"],
  ["apple", "apples", "fruit", "red", "1f34e"],
  ["banana", "bananas", "fruit", "orange", "1f34c"],
  ["strawberry", "strawberries", "fruit", "red", "1f353"],
  ["pineapple", "pineapples", "fruit", "orange", "1f34d"],
  ["watermelon", "watermelons", "fruit", "red", "1f349"],
  ["pear", "pears", "fruit", "yellow", "1f350"],
  ["lemon", "lemons", "fruit", "yellow", "1f34b"],
  ["carrot", "carrots", "vegetable", "orange", "1f955"],
  ["onion", "onions", "vegetable", "orange", "1f9c5"],
  ["cucumber", "cucumbers", "vegetable", "green", "1f952"],
  ["eggplant", "eggplants", "vegetable", "purple", "1f346"],
  ["pizza", "pizzas", "food", "orange", "1f355"],
  ["burger", "burgers", "food", "orange", "1f354"],
  ["donut", "donuts", "food", "brown", "1f369"],
  ["cake", "cakes", "food", "orange", "1f382"],
  ["pretzel", "pretzels", "food", "orange", "1f968"],
  ["car", "cars", "vehicle", "red", "1f697"],
  ["bus", "buses", "vehicle", "blue", "1f68c"],
  ["truck", "trucks", "vehicle", "yellow", "1f69a"],
  ["train", "trains", "vehicle", "black", "1f682"],
  ["bicycle", "bicycles", "vehicle", "white", "1f6b2"],
  ["plane", "planes", "vehicle", "blue", "2708-fe0f"],
  ["helicopter", "helicopters", "vehicle", "orange", "1f681"],
  ["rocket", "rockets", "vehicle", "white", "1f680"],
  ["boat", "boats", "vehicle", "blue", "26f5"],
  ["guitar", "guitars", "instrument", "red", "1f3b8"],
  ["drum", "drums", "instrument", "pink", "1f941"],
  ["trumpet", "trumpets", "instrument", "orange", "1f3ba"],
  ["violin", "violins", "instrument", "brown", "1f3bb"],
  ["hammer", "hammers", "tool", "brown", "1f528"],
  ["saw", "saws", "tool", "grey", "1fa9a"],
  ["screwdriver", "screwdrivers", "tool", "red", "1fa9b"],
  ["axe", "axes", "tool", "brown", "1fa93"],
  ["shirt", "shirts", "garment", "green", "1f455"],
  ["dress", "dresses", "garment", "blue", "1f457"],
  ["hat", "hats", "garment", "orange", "1f452"],
  ["shoe", "shoes", "garment", "brown", "1f45e"],
  ["coat", "coats", "garment", "orange", "1f9e5"],
  ["cactus", "cacti", "plant", "green", "1f335"],
  ["tree", "trees", "plant", "green", "1f332"],
  ["sunflower", "sunflowers", "plant", "yellow", "1f33b"],
  ["rose", "roses", "plant", "red", "1f339"],
  ["house", "houses", "building", "orange", "1f3e0"],
  ["castle", "castles", "building", "grey", "1f3f0"],
  ["chair", "chairs", "furniture", "brown", "1fa91"],
  ["bed", "beds", "furniture", "purple", "1f6cf-fe0f"],
  ["key", "keys", "other", "yellow", "1f511"],
  ["lock", "locks", "other", "orange", "1f512"],
  ["candle", "candles", "other", "orange", "1f56f-fe0f"],
  ["clock", "clocks", "other", "red", "23f0"],
  ["camera", "cameras", "other", "grey", "1f4f7"],
  ["telephone", "telephones", "other", "red", "260e-fe0f"],
  ["book", "books", "other", "red", "1f4d5"],
  ["umbrella", "umbrellas", "other", "purple", "2602-fe0f"],
  ["balloon", "balloons", "other", "red", "1f388"],
  ["bell", "bells", "other", "orange", "1f514"],
  ["robot", "robots", "other", "black", "1f916"],
  ["ball", "balls", "other", "blue", "26bd"],
  ["anchor", "anchors", "other", "blue", "2693"],
  ["ladder", "ladders", "other", "brown", "1fa9c"],
];

export const objectClasses: readonly ObjectClass[] = rows.map(
  ([name, plural, category, colour, emoji]) => ({ name, plural, category, colour, emoji }),
);

const byName = new Map(objectClasses.map((entry) => [entry.name, entry]));

/** The class of that name, undefined for shapes and unknown names. */
export const findObjectClass = (name: string): ObjectClass | undefined => byName.get(name);

/** Flat shapes, which have any colour; they never share a scene with objects (a ball is a circle to some). */
export const shapePlurals = {
  circle: "circles",
  square: "squares",
  triangle: "triangles",
  star: "stars",
  heart: "hearts",
  cross: "crosses",
} as const;
export type ShapeName = keyof typeof shapePlurals;
export const shapeNames: readonly ShapeName[] = [
  "circle",
  "square",
  "triangle",
  "star",
  "heart",
  "cross",
];

/** Whether `name` is one of the six shapes. */
export const isShapeName = (name: string): name is ShapeName => name in shapePlurals;

/** Plural of an object's or a shape's name. */
export const pluralOf = (name: string): string =>
  isShapeName(name) ? shapePlurals[name] : (byName.get(name)?.plural ?? `${name}s`);

/** The name with its article: "a cat", "an owl". */
export const withArticle = (name: string): string =>
  `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;

/** Categories whose members some would count as `category` too: questions never play them off. */
const overlaps: Readonly<Partial<Record<Category, readonly Category[]>>> = {
  fruit: ["vegetable", "food", "plant"],
  vegetable: ["fruit", "food", "plant"],
  food: ["fruit", "vegetable"],
  plant: ["fruit", "vegetable"],
};

/** Whether an object of category `other` could be taken for one of `category`. */
export const mayCountAs = (other: Category, category: Category): boolean =>
  other === category || (overlaps[category]?.includes(other) ?? false);
