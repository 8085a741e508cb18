/** What stages need to know of a family of systems: their batches, and what is learned from them. */
import type { ReadReport } from "../data/read-report.js";
import type { SampleReader } from "../data/sample-reader.js";
import type { DimBindings } from "../graph/index.js";
import type { LabelOptions } from "./labelled-sample.js";
import type { Objective } from "./objective-trainable.js";
import type { StageRecipe } from "./recipe-schema.js";
import type { BatchSource } from "./trainable.js";

/** A stage's data, opened. */
export type StageDataContext = {
  readonly stage: StageRecipe;
  readonly reader: SampleReader;
  readonly report: ReadReport;
  readonly labels: Pick<LabelOptions, "tokenizer" | "template" | "maxLength" | "tooLong">;
  readonly seed: number;
};

/** A batch that says which samples it holds. */
export type SourcedBatch = { readonly sources: readonly string[] };

export type StageBatches<Batch, Shape> = BatchSource<Batch> & {
  /** Shapes that batches have, with values of the sides that a graph leaves open; at worst. */
  readonly planned: readonly { readonly shape: Shape; readonly bindings: DimBindings }[];
  /** Absent where it follows from how samples are packed. */
  readonly batchesPerEpoch?: number;
};

export type StageFamily<Batch extends SourcedBatch, Shape> = {
  createObjective(stage: StageRecipe, trained: ReadonlySet<string>): Objective<Batch, Shape>;
  createBatches(context: StageDataContext): Promise<StageBatches<Batch, Shape>>;
};
