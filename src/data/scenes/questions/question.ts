import type { RandomStream } from "../random.js";
import type { Scene, Thing } from "../scene.js";

/** How closely one has to look: at the image as a whole, at its parts, or at small print. */
export const finenesses = ["coarse", "medium", "fine"] as const;
export type Fineness = (typeof finenesses)[number];

/** A question with its one right answer. */
export type Question = {
  readonly family: string;
  readonly fineness: Fineness;
  readonly question: string;
  /** Short, in lower case except for names of people and codes. */
  readonly answer: string;
  /** Where something is to be read: height in pixels from which all print that the answer rests on is 8 pixels high. */
  readonly legibleFromPx?: number;
};

/** What a family finds to ask about a scene. */
export type Draft = {
  readonly question: string;
  readonly answer: string;
  /** The print that the answer rests on, as it stands in the scene. */
  readonly evidence?: readonly string[];
};

/** One kind of question. */
export type Family = {
  readonly family: string;
  readonly fineness: Fineness;
  /** Kind of scenes that it can be asked about. */
  readonly kind: Scene["kind"];
  /**
   * A question about `scene` with exactly one valid answer, or undefined where the family has none to ask. Answers are
   * drawn before questions wherever the scene allows more than one, so that none is much likelier than the others.
   */
  readonly ask: (scene: Scene, random: RandomStream) => Draft | undefined;
};

/** A family about scenes of one kind. */
export const createFamily = <Kind extends Scene["kind"]>(
  family: string,
  fineness: Fineness,
  kind: Kind,
  ask: (scene: Extract<Scene, { kind: Kind }>, random: RandomStream) => Draft | undefined,
): Family => ({
  family,
  fineness,
  kind,
  ask: (scene, random) =>
    scene.kind === kind ? ask(scene as Extract<Scene, { kind: Kind }>, random) : undefined,
});

export const yesNo = (isTrue: boolean): string => (isTrue ? "yes" : "no");

/** Whether these are flat shapes, whose scenes have questions of their own. */
export const areShapes = (things: readonly Thing[]): boolean => things[0]?.colour !== undefined;
