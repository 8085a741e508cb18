/** How many tokens an image takes, where a system leaves a choice: what may be asked, and what was done. */
import { OptionsError } from "../errors.js";
import type { SliceRequest } from "../image/slice-config.js";

/** What is asked of an image's tokens; whatever is absent is left to the model. */
export type TokenChoice = {
  /** Tokens of a view, one of the model's granularities; no router is asked. */
  readonly granularity?: number;
  /** Most tokens that the image may take in the language model; bounds every other choice. */
  readonly maxSoftTokens?: number;
  /**
   * `low`: the coarsest granularity. `high`: the finest. `auto`: what happens anyway, the router's
   * choice where the model has one, else the finest.
   */
  readonly detail?: "low" | "high" | "auto";
  /** Systems in slices: most slices, and how many patches become one token. */
  readonly slicing?: Pick<SliceRequest, "maxSlices" | "downsampleMode">;
};

/** One way to see an image. */
export type TokenOption = {
  /** Tokens of a view. */
  readonly granularity: number;
  /** Tokens of the whole image in the language model. */
  readonly tokens: number;
};

/** What is left to choose for one image. */
export type TokenOptions = {
  /** Every granularity of the model, coarsest first, with its tokens for this image. */
  readonly all: readonly TokenOption[];
  /** Those that are allowed, coarsest first; the router is asked where there are several. */
  readonly allowed: readonly TokenOption[];
  /** Why it is not the router's choice alone, where it is not. */
  readonly chosenBy: "router" | "request" | "budget" | "model";
};

/** What was chosen for one image. */
export type TokenRoute = TokenOption & {
  readonly chosenBy: TokenOptions["chosenBy"];
  /** The router's scores and their soft-max, one for each granularity; absent where it was not asked. */
  readonly logits?: readonly number[];
  readonly probabilities?: readonly number[];
};

const list = (options: readonly TokenOption[]): string =>
  options.map(({ granularity, tokens }) => `${granularity} (${tokens} tokens)`).join(", ");

/** Throws `OptionsError` unless every member of a choice is one that could be meant. */
const checkValues = ({ granularity, maxSoftTokens, detail, slicing }: TokenChoice): void => {
  if (slicing !== undefined) {
    throw new OptionsError(
      `generate: slices and downsampling must be asked of a model in slices, got ${JSON.stringify(slicing)}; leave them out`,
    );
  }
  if (maxSoftTokens !== undefined && (!Number.isInteger(maxSoftTokens) || maxSoftTokens < 1)) {
    throw new OptionsError(
      `generate: maxSoftTokens must be a whole number of at least 1, got ${maxSoftTokens}`,
    );
  }
  if (detail !== undefined && !["low", "high", "auto"].includes(detail)) {
    throw new OptionsError(
      `generate: detail must be low, high or auto, got ${JSON.stringify(detail)}`,
    );
  }
  if (granularity !== undefined && detail !== undefined) {
    throw new OptionsError(
      `generate: granularity and detail both choose, got ${granularity} and "${detail}"; give one of them`,
    );
  }
};

/**
 * What a choice leaves of an image's options, `all`, coarsest first. Throws `OptionsError` for a
 * granularity that the model does not have, a budget below the coarsest, and a choice above the budget.
 */
export const planTokenOptions = (
  all: readonly TokenOption[],
  choice: TokenChoice,
  hasRouter: boolean,
): TokenOptions => {
  checkValues(choice);
  const { granularity, maxSoftTokens = Number.POSITIVE_INFINITY, detail } = choice;
  const affordable = all.filter(({ tokens }) => tokens <= maxSoftTokens);
  if (affordable.length === 0) {
    throw new OptionsError(
      `generate: maxSoftTokens must leave room for the coarsest granularity, got ${maxSoftTokens} for an image that takes ${list(all)}; raise it to ${Math.min(...all.map(({ tokens }) => tokens))} or more`,
    );
  }
  if (granularity !== undefined) {
    const asked = all.find((option) => option.granularity === granularity);
    if (asked === undefined) {
      throw new OptionsError(
        `generate: granularity must be one of ${all.map((option) => option.granularity).join(", ")}, got ${granularity}`,
      );
    }
    if (asked.tokens > maxSoftTokens) {
      throw new OptionsError(
        `generate: granularity ${granularity} takes ${asked.tokens} tokens of this image, got maxSoftTokens ${maxSoftTokens}; leave one of them out`,
      );
    }
    return { all, allowed: [asked], chosenBy: "request" };
  }
  if (detail === "low") return { all, allowed: affordable.slice(0, 1), chosenBy: "request" };
  if (detail === "high") return { all, allowed: affordable.slice(-1), chosenBy: "request" };
  if (!hasRouter) {
    const chosenBy = affordable.length < all.length ? "budget" : "model";
    return { all, allowed: affordable.slice(-1), chosenBy };
  }
  return { all, allowed: affordable, chosenBy: affordable.length === 1 ? "budget" : "router" };
};

/**
 * Throws `OptionsError` where a choice is asked of a system whose images always take the same tokens;
 * a budget that they fit into is no choice, and `auto` is what happens anyway.
 */
export const checkNoTokenChoice = (choice: TokenChoice, tokens: number, system: string): void => {
  checkValues(choice);
  const { granularity, maxSoftTokens, detail } = choice;
  if (granularity !== undefined || (detail !== undefined && detail !== "auto")) {
    throw new OptionsError(
      `generate: ${system} offers no choice of tokens, got ${granularity === undefined ? `detail "${detail}"` : `granularity ${granularity}`}; leave it out, or use a model with granularities`,
    );
  }
  if (maxSoftTokens !== undefined && tokens > maxSoftTokens) {
    throw new OptionsError(
      `generate: an image takes ${tokens} tokens in ${system}, got maxSoftTokens ${maxSoftTokens}; raise it, or use a model with granularities`,
    );
  }
};
