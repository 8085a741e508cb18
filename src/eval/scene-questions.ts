/** Which questions an evaluation on Scenes asks: one a scene, families in turns, the same ones for every model. */
import {
  type Question,
  questionsFor,
  type Scene,
  type SceneKind,
  type Split,
  sampleScene,
} from "../data/scenes/index.js";
import { OptionsError } from "../errors.js";

export type SceneQuestion = { readonly scene: Scene; readonly question: Question };

export type SceneQuestionOptions = {
  /** Number of questions, each about a scene of its own. */
  readonly count: number;
  /** Default `test`. */
  readonly split?: Split;
  /** Default 0. */
  readonly seed?: number;
  /** Kinds in turns; default only `simple`. */
  readonly kinds?: readonly SceneKind[];
  /** Only these families; default all that a scene has. */
  readonly families?: readonly string[];
};

/**
 * The first `count` scenes of a split that have a question, with the question whose family was asked least before: so that
 * rare families are measured as well as common ones. What is asked follows from the options alone.
 *
 * @throws OptionsError for a count below 1, unknown families, and kinds that have none of the families.
 */
export function* sampleSceneQuestions({
  count,
  split = "test",
  seed = 0,
  kinds = ["simple"],
  families,
}: SceneQuestionOptions): Generator<SceneQuestion> {
  if (!Number.isInteger(count) || count < 1)
    throw new OptionsError(
      `sampleSceneQuestions: count is a whole number of at least 1, got ${count}. Say how many questions to ask.`,
    );
  if (kinds.length === 0)
    throw new OptionsError(
      "sampleSceneQuestions: kinds name at least one kind, got none. Leave them out for simple.",
    );
  const asked = new Map<string, number>();
  const timesAsked = ({ family }: Question): number => asked.get(family) ?? 0;
  const emptyLimit = 1000;
  let found = 0;
  for (let index = 0, empty = 0; found < count; index++) {
    const scene = sampleScene({ seed, split, index, kind: kinds[index % kinds.length] });
    const questions = questionsFor(scene, { families });
    const [first, ...others] = questions;
    if (first === undefined) {
      empty += 1;
      if (empty === emptyLimit)
        throw new OptionsError(
          `sampleSceneQuestions: scenes of the kinds ${kinds.join(", ")} must have questions of the families ${families?.join(", ")}, got none in ${emptyLimit} scenes. Choose other kinds or families.`,
        );
      continue;
    }
    empty = 0;
    const question = others.reduce(
      (least, other) => (timesAsked(other) < timesAsked(least) ? other : least),
      first,
    );
    asked.set(question.family, timesAsked(question) + 1);
    found += 1;
    yield { scene, question };
  }
}
