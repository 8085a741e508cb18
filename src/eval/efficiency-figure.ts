import type { CostConvention } from "../cost/convention.js";
import { type CostReport, type CostRequest, createCostEstimator } from "../cost/cost-report.js";
import { type PublishedSize, publishedModel } from "../load/published-sizes.js";

/** One printed number. */
export type Figure = {
  readonly what: string;
  /** As printed. */
  readonly published: string;
  readonly ours: number;
  /** Why ours is another number; required where it is, to the printed digit. */
  readonly note?: string;
};

export type FigureTable = {
  readonly title: string;
  readonly unit: string;
  readonly about: string;
  readonly figures: readonly Figure[];
};

const decimalsOf = (printed: string): number => printed.split(".")[1]?.length ?? 0;

/** Our number with the digits that were printed. */
export const printed = ({ published, ours }: Figure): string => ours.toFixed(decimalsOf(published));

/** Whether ours is the printed number. */
export const isEqual = (figure: Figure): boolean => printed(figure) === figure.published;

/** Keys of a `config.json` and their values. */
export type Changes = Readonly<Record<string, unknown>>;
/** What a request costs a published size, changed by `changes`. */
export const estimatePublished = (
  name: PublishedSize,
  request: CostRequest,
  convention: CostConvention,
  changes: Changes = {},
): CostReport => createCostEstimator(publishedModel(name, changes), { convention })(request);
