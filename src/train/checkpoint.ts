/** What a run keeps so that it can go on as if it had never stopped. */
import type { JsonValue, LoopTensors } from "./trainable.js";

/**
 * The state of the loop between two steps. Its random numbers all belong to the data, whose state
 * holds them; the loop itself draws none.
 */
export type LoopState = {
  /** Optimiser steps of the whole run. */
  readonly step: number;
  readonly stageIndex: number;
  readonly stage: string;
  /** Optimiser steps of this stage. */
  readonly stageStep: number;
  /** Place in the data, and its random state. */
  readonly data: JsonValue;
  /** What the run was started with (`recipeIdentity`). */
  readonly recipe: JsonValue;
};

export type Checkpoint = { readonly state: LoopState; readonly tensors: LoopTensors };

/** Where checkpoints are kept. */
export type CheckpointStore = {
  /** Keeps a checkpoint whole or not at all, then drops all but the `keep` newest. */
  save(checkpoint: Checkpoint, keep: number): Promise<void>;
  /** The newest complete one, and why newer ones were passed over. */
  newest(): Promise<{ readonly checkpoint?: Checkpoint; readonly passedOver: readonly string[] }>;
};
