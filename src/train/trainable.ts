/** What the training loop needs of a model, its optimiser and its data; it knows neither. */
import type { TensorData } from "../tensor-data.js";

/** A value that JSON holds exactly. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue };

/** Parameters that train alike, as reports show them. */
export type TrainableGroup = {
  readonly name: string;
  readonly parameters: readonly { readonly name: string; readonly shape: readonly number[] }[];
};

export type StepResult = {
  /** Mean loss over the supervised tokens of the batch, before the step. */
  readonly loss: number;
  /** Norm of all gradients together, before clipping. */
  readonly gradientNorm: number;
  /** Supervised tokens, which the mean is over. */
  readonly tokens: number;
};

/** Values of parameters and of the optimiser's moments, by state name; a parameter's is its own. */
export type LoopTensors = ReadonlyMap<string, TensorData<"float32">>;

/** A model with its optimiser. */
export type Trainable<Batch> = {
  readonly groups: readonly TrainableGroup[];
  /** One optimiser step; `rates` gives each group's learning rate. */
  step(batch: Batch, rates: Readonly<Record<string, number>>): Promise<StepResult>;
  /**
   * Adds a batch's gradients, weighted by its tokens, to those that the next `step` applies together
   * with its own, as if all had been one batch. Absent where accumulation is not offered.
   */
  accumulate?(batch: Batch): Promise<Pick<StepResult, "loss" | "tokens">>;
  /** The loss alone; nothing changes. */
  evaluate(batch: Batch): Promise<Pick<StepResult, "loss" | "tokens">>;
  state(): Promise<LoopTensors>;
  close(): Promise<void>;
};

/** An endless row of batches whose place can be kept and taken up again. */
export type BatchSource<Batch> = {
  next(): Promise<Batch>;
  /** Place and random state after the batches handed out so far. */
  state(): JsonValue;
  restore(state: JsonValue): void;
};
