import { downsampleModes } from "../../image/slice-config.js";
import type { AvgLlavaConfig } from "../../systems/avg-llava-config.js";
import type { System, SystemConfig } from "../../systems/system.js";
import type { TokenChoice } from "../../systems/token-choice.js";
import type { LookOptions } from "../api/request-schema.js";

/** What a model leaves to choose of an image's tokens. */
export type TokenChoices = {
  /** Tokens of a view, coarsest first. */
  readonly granularities?: readonly number[];
  /** Whether a router chooses among them where nothing is asked. */
  readonly hasRouter?: boolean;
  /** Slices of an image besides the whole. */
  readonly maxSlices?: number;
  readonly downsampleModes?: readonly string[];
};

const hasGranularities = (config: SystemConfig): config is AvgLlavaConfig =>
  config.system === "avg-llava";

export const choicesOf = ({ config }: System): TokenChoices => {
  if (hasGranularities(config)) {
    const { granularities, router } = config;
    return {
      granularities: granularities.map(({ tokens }) => tokens),
      hasRouter: router !== undefined,
    };
  }
  if (config.system === "llava-uhd") {
    return { maxSlices: config.slicing.maxSlices, downsampleModes };
  }
  return {};
};

/** `detail` in the terms of each system; nothing where a system has no such choice. */
const detailChoice = (
  detail: LookOptions["detail"],
  { granularities, maxSlices }: TokenChoices,
): TokenChoice => {
  if (detail === undefined || detail === "auto") return {};
  if (granularities !== undefined) return { detail: detail === "low" ? "low" : "high" };
  if (maxSlices === undefined) return {};
  return detail === "low"
    ? { slicing: { maxSlices: 1, downsampleMode: "16x" } }
    : { slicing: { downsampleMode: "4x" } };
};

/**
 * What is asked of an image, as a model understands it. `detail` is a wish that a system without a
 * choice cannot act on; everything else is for the model to refuse where it does not have it.
 */
export const tokenChoiceOf = (look: LookOptions, choices: TokenChoices): TokenChoice => {
  const { granularity, maxSoftTokens, maxSlices, downsampleMode } = look;
  // A granularity says more than a detail.
  const wish = granularity === undefined ? detailChoice(look.detail, choices) : {};
  const slicing = {
    ...wish.slicing,
    ...(maxSlices !== undefined && { maxSlices }),
    ...(downsampleMode !== undefined && { downsampleMode }),
  };
  return {
    ...(wish.detail !== undefined && { detail: wish.detail }),
    ...(granularity !== undefined && { granularity }),
    ...(maxSoftTokens !== undefined && { maxSoftTokens }),
    ...(Object.keys(slicing).length > 0 && { slicing }),
  };
};
