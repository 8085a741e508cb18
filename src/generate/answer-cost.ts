import type { CostEstimator, CostReport } from "../cost/cost-report.js";
import type { TokenChoice } from "../systems/token-choice.js";
import type { MediaReport } from "./media.js";

/** A request by what became of it: the media as planned or routed, and what was asked of them. */
export type AnsweredRequest = {
  readonly media: readonly MediaReport[];
  /** What was asked of each medium; undefined where nothing was. */
  readonly choices: readonly (TokenChoice | undefined)[];
  /** Tokens of the prompt besides those of media. */
  readonly textTokens: number;
  readonly answerTokens: number;
};

/** What an answer costs, with a router's choices where they are known. Throws as `estimate`. */
export const estimateAnswerCost = (
  estimate: CostEstimator,
  { media, choices, textTokens, answerTokens }: AnsweredRequest,
): CostReport =>
  estimate({
    media: media.map(({ size, frames, routes }, index) => {
      const choice = choices[index];
      const route = routes?.[0];
      return {
        ...size,
        ...(choice && { choice }),
        ...(route?.chosenBy === "router" && { routed: route.granularity }),
        ...(frames && { numFrames: frames.sampled }),
      };
    }),
    textTokens,
    answerTokens,
  });
