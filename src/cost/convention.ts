import { OptionsError } from "../errors.js";
import type { Billing, CostPart } from "../systems/run-plan.js";

/**
 * How operations are counted. Published figures count differently from each other and from what is
 * computed here, so every report names its convention.
 */
export type CostConvention = Billing & {
  readonly name: string;
  readonly description: string;
  /** Operations that a multiply-add counts as. */
  readonly multiplyAdd: 1 | 2;
  /** Parts whose products between activations (attention scores and values) are billed. */
  readonly attention: "all" | readonly CostPart[];
  /** Operations per element of everything that is no product, by operator; absent: not billed. */
  readonly elementwise?: (operator: string) => number;
  /** Places whose next-token scores are billed while a prompt is read. */
  readonly head: "last" | "every";
  /** A prompt is read in the steps in which we read it, or as a whole. */
  readonly prefill: "steps" | "whole";
  /**
   * Layers applied to parameters alone: ONNX Runtime computes them once, when a session is opened;
   * PyTorch in every forward pass.
   */
  readonly folded: "left-out" | "billed";
};

const asComputed = {
  tower: "read",
  placeholder: "billed",
  windows: "own",
  sharedSlots: "once",
  head: "last",
  prefill: "steps",
  folded: "left-out",
} as const;

const operationsPerElement: Readonly<Record<string, number>> = {
  "layer-norm": 5,
  "rms-norm": 5,
  // Soft-max, an element being a score.
  attention: 4,
  "cached-attention": 4,
};

export const conventionNames = ["true", "linear", "macs", "released"] as const;
export type ConventionName = (typeof conventionNames)[number];

export const conventions: Readonly<Record<ConventionName, CostConvention>> = {
  true: {
    ...asComputed,
    name: "true",
    description: "what is computed here: 2 per multiply-add of every product, attention included",
    multiplyAdd: 2,
    attention: "all",
  },
  released: {
    ...asComputed,
    name: "released",
    description:
      "what the released PyTorch code computes: 2 per multiply-add, attention included, every layer of the vision tower, the prompt in one pass",
    multiplyAdd: 2,
    attention: "all",
    tower: "whole",
    sharedSlots: "every-view",
    prefill: "whole",
    folded: "billed",
  },
  // The profiler used there sees torch's bmm, which only the compressor's attention calls, and not
  // the fused attention of the transformers (Tab. 8: 2.44 GFLOP for four queries holds its products).
  linear: {
    name: "linear",
    description:
      "LLaVA-Mini's (arXiv 2501.03895): 2 per multiply-add of linear layers only, every layer of the vision tower, scores of every place",
    multiplyAdd: 2,
    attention: ["compression"],
    tower: "whole",
    placeholder: "left-out",
    windows: "own",
    sharedSlots: "every-view",
    head: "every",
    prefill: "whole",
    folded: "billed",
  },
  // Table 4 is met to 0.05 G with these weights per element.
  macs: {
    ...asComputed,
    name: "macs",
    description:
      "LLaVA-UHD v4's (arXiv 2605.08985): 1 per multiply-add, window attention billed as attention over the whole view, norms and activations by element",
    multiplyAdd: 1,
    attention: "all",
    elementwise: (operator) => operationsPerElement[operator] ?? 1,
    tower: "whole",
    windows: "dense",
    sharedSlots: "every-view",
    prefill: "whole",
    folded: "billed",
  },
};

/** Reads a convention's name. Throws `OptionsError`. */
export const parseConvention = (name: string): CostConvention => {
  const known = conventionNames.find((convention) => convention === name);
  if (known === undefined) {
    throw new OptionsError(
      `parseConvention: the convention must be one of ${conventionNames.join(", ")}, got ${JSON.stringify(name)}`,
    );
  }
  return conventions[known];
};
