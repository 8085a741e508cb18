/** All families of questions, and the questions of a scene. */
import { OptionsError } from "../../../errors.js";
import { layOutScene } from "../layout.js";
import { createRandomStream } from "../random.js";
import type { Scene } from "../scene.js";
import { background } from "./background.js";
import { binding } from "./binding.js";
import { code, number, word } from "./card.js";
import { category, categoryPresence, kind } from "./category.js";
import { chartColour, chartExtreme, chartValue } from "./chart.js";
import { clipActor, clipEvent } from "./clip-change.js";
import { clipDirection } from "./clip-direction.js";
import { clipCount, clipFirst, clipNext, clipOrder } from "./clip-order.js";
import { colour, colourThing } from "./colour.js";
import { count } from "./count.js";
import { label, labelThing } from "./label.js";
import { neighbour } from "./neighbour.js";
import { object } from "./object.js";
import { odd } from "./odd.js";
import { content, place } from "./place.js";
import { presence } from "./presence.js";
import type { Draft, Family, Question } from "./question.js";
import { receiptCount, receiptItem, receiptPrice, receiptTotal } from "./receipt.js";
import { relation } from "./relation.js";
import { same } from "./same.js";
import { arrow, sign, way } from "./sign.js";
import { size } from "./size.js";
import { tableCell, tableRow } from "./table.js";
import { total } from "./total.js";

/** Every family, coarse ones first. */
export const families: readonly Family[] = [
  object,
  presence,
  categoryPresence,
  background,
  total,
  clipCount,
  count,
  colour,
  colourThing,
  binding,
  neighbour,
  relation,
  place,
  content,
  same,
  size,
  odd,
  category,
  kind,
  arrow,
  receiptCount,
  chartColour,
  clipEvent,
  clipActor,
  clipDirection,
  clipOrder,
  clipFirst,
  clipNext,
  label,
  labelThing,
  number,
  word,
  code,
  sign,
  way,
  receiptTotal,
  receiptPrice,
  receiptItem,
  tableCell,
  tableRow,
  chartExtreme,
  chartValue,
];

const familyNames: readonly string[] = families.map(({ family }) => family);

/** Letters from this font size on can be read. */
const legibleEmPx = 8;

/** Height in pixels of the smallest image in which all of `evidence` can be read. */
const legibleFrom = (scene: Scene, evidence: readonly string[]): number => {
  const ems = layOutScene(scene).flatMap((mark) =>
    mark.type === "text" && evidence.includes(mark.text) ? [mark.em] : [],
  );
  return Math.ceil(legibleEmPx / Math.min(...ems));
};

const finish = (scene: Scene, { family, fineness }: Family, draft: Draft): Question => {
  const { question, answer, evidence } = draft;
  const legible = evidence && { legibleFromPx: legibleFrom(scene, evidence) };
  return { family, fineness, question, answer, ...legible };
};

export type QuestionOptions = {
  /** Only these families; default all. */
  readonly families?: readonly string[];
  /** Most questions of one family; default 1. */
  readonly perFamily?: number;
  /** Another draw of questions about the same scene; default 0. */
  readonly variant?: number;
};

/**
 * Questions about a scene, in random order: up to `perFamily` of each family that fits it, none twice.
 * The same scene and options always give the same ones.
 * Throws OptionsError for a family that does not exist or a number below 1.
 */
export const questionsFor = (
  scene: Scene,
  { families: wanted = familyNames, perFamily = 1, variant = 0 }: QuestionOptions = {},
): Question[] => {
  const unknown = wanted.find((name) => !familyNames.includes(name));
  if (unknown !== undefined) {
    throw new OptionsError(
      `questionsFor: families are ${familyNames.join(", ")}, got "${unknown}". Pass some of these.`,
    );
  }
  if (!Number.isInteger(perFamily) || perFamily < 1) {
    throw new OptionsError(
      `questionsFor: perFamily is a whole number of at least 1, got ${perFamily}. Leave it out for 1.`,
    );
  }
  const random = createRandomStream(scene.key, "questions", variant);
  const asked = new Map<string, Question>();
  for (const family of families) {
    // Every family draws, wanted or not: leaving one out changes no other one's questions.
    for (let round = 0; round < perFamily; round++) {
      const draft = family.ask(scene, random);
      if (draft === undefined || !wanted.includes(family.family)) continue;
      if (!asked.has(draft.question)) asked.set(draft.question, finish(scene, family, draft));
    }
  }
  return random.shuffle([...asked.values()]);
};
