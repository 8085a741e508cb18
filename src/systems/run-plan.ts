/**
 * What a system computes between pixels and the language model, for estimating it: the graphs that
 * its encoder opens, with the values of their named sides, and how often each runs.
 */
import type { DimBindings, Graph } from "../graph/index.js";
import type { ImagePlan } from "../image/view-plan.js";
import type { TokenChoice } from "./token-choice.js";

/** The parts that costs are told apart by; the language model is `prefill` while it reads a prompt. */
export const encoderParts = ["vision", "projector", "compression", "fusion", "router"] as const;
export const costParts = [...encoderParts, "prefill"] as const;
export type CostPart = (typeof costParts)[number];

/** A medium as it is planned: an image is one frame, the frames of a video share one plan. */
export type PlannedMedium = {
  readonly plan: ImagePlan;
  readonly numFrames: number;
  /** What is asked of its tokens. */
  readonly choice?: TokenChoice;
  /**
   * Granularity that a router is taken to choose, where it is asked; the one with the most tokens
   * when absent, because a router's choice is not known before it runs.
   */
  readonly routed?: number;
};

export type RunRequest = {
  readonly media: readonly PlannedMedium[];
  /** Tokens of the prompt besides those of the media. */
  readonly textTokens: number;
};

/** One graph, run `times` times with these sides. */
export type GraphRun = {
  readonly graph: Graph;
  readonly bindings: DimBindings;
  readonly times: number;
  /** Part of the operations that no parameter of a part has a hand in. */
  readonly part: CostPart;
};

export type RunPlan = {
  readonly runs: readonly GraphRun[];
  /** Tokens of the language model that all media take: what the encoder then produces. */
  readonly visualTokens: number;
};

/** What is billed where published figures count otherwise than we compute. */
export type Billing = {
  /** Layers of the vision tower: those up to the hidden state that is read, or all of them. */
  readonly tower: "read" | "whole";
  /** Whether a fusion's own place for the image placeholder is billed. */
  readonly placeholder: "billed" | "left-out";
  /** Attention within windows of a view: as it is, or as if it went over the whole view. */
  readonly windows: "own" | "dense";
  /** A router's slots that are the same in every view: computed once, or in every view as released. */
  readonly sharedSlots: "once" | "every-view";
};

/** Plans the runs of requests to one system; graphs are built when first needed, and once. */
export type RunPlanner = (request: RunRequest) => RunPlan;

/** Makes a value when it is first needed, and once. */
export const onceNeeded = <Value>(make: () => Value): (() => Value) => {
  let made: { readonly value: Value } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
};
