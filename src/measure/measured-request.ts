import type { CostRequest } from "../cost/cost-report.js";
import { OptionsError } from "../errors.js";
import { checkArea, type Size } from "../image/image.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";

/** What is asked of every system alike; pixels and words are random, sizes are not. */
export type MeasuredRequest = {
  /** Size of the image, or of the frames. */
  readonly image: Size;
  /** A video of so many frames; one image when absent. */
  readonly numFrames?: number;
  /** Tokens of the prompt besides those of the image. */
  readonly textTokens: number;
  /** Tokens of the answer; the first comes from reading the prompt. */
  readonly newTokens: number;
  /** AVG-LLaVA: tokens of a view; systems without granularities refuse it where no router is to run. */
  readonly granularity?: number;
  /**
   * Whether the router runs and is made to choose `granularity` (default), or the granularity is asked
   * for and no router runs.
   */
  readonly runsRouter?: boolean;
};

const checkCount = (what: string, count: number): void => {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw new OptionsError(`measure: ${what} must be a whole number of at least 1, got ${count}`);
};

/** Throws `OptionsError` for counts that are none, `LimitError` for an image too large to be made. */
export const checkRequest = ({
  image,
  numFrames,
  textTokens,
  newTokens,
}: MeasuredRequest): void => {
  checkArea("measure", image);
  if (numFrames !== undefined) checkCount("numFrames", numFrames);
  checkCount("textTokens", textTokens);
  checkCount("newTokens", newTokens);
};

/** The same for the cost report; `routed` is what a router that was left to itself has chosen. */
export const costRequestOf = (
  { image, numFrames, textTokens, newTokens, granularity, runsRouter }: MeasuredRequest,
  routed = runsRouter === false ? undefined : granularity,
): CostRequest => ({
  media: [
    {
      ...image,
      ...(numFrames !== undefined && { numFrames }),
      ...(routed !== undefined && { routed }),
      ...(granularity !== undefined && runsRouter === false && { choice: { granularity } }),
    },
  ],
  textTokens,
  answerTokens: newTokens,
});

/**
 * Ids of a prompt: media after the first token, as in the published templates, and text that is spread
 * over the vocabulary. Ids up to 0 are avoided, which LLaVA-Mini does not fuse.
 */
export const promptIds = (
  textTokens: number,
  numPlaceholders: number,
  vocabularySize: number,
): number[] => {
  const text = Array.from(
    { length: textTokens },
    (_, place) => 1 + ((37 * place) % (vocabularySize - 1)),
  );
  const placeholders = new Array<number>(numPlaceholders).fill(imagePlaceholderId);
  return [...text.slice(0, 1), ...placeholders, ...text.slice(1)];
};
