import type { Engine, ParameterSource } from "../graph/index.js";
import type { ParameterTree } from "../nn/parameter-scope.js";
import type { TensorData } from "../tensor-data.js";
import type { RenameRule } from "../weights/rename.js";

/** Inputs, intermediates and outputs that a reference recorded, by name. */
export type Recorded = ReadonlyMap<string, TensorData>;

/** Largest accepted difference, relative to a tensor's largest value. */
export const defaultTolerance = 1e-4;

/** What a producer works with. */
export type VerifyContext = {
  readonly recorded: Recorded;
  readonly config: unknown;
  readonly towerConfig?: unknown;
  readonly engine: Engine;
  /** A whole safetensors file of the folder; undefined where there is none of that name. */
  readFile(name: string): Promise<Recorded | undefined>;
  /** Finds the parameters of a model in the folder's weights. */
  locate(parameters: ParameterTree, names: readonly RenameRule[]): ParameterSource;
};

/** What our code makes of the recorded inputs. */
export type Produced = {
  readonly tensors: ReadonlyMap<string, TensorData>;
  /** Recorded tensors that are inputs: nothing to compare. */
  readonly inputs: ReadonlySet<string>;
  /** What other files of the folder record, as `file/name`; compared as well. */
  readonly further?: Recorded;
  /** Rows of a tensor that mean something (padding left out), one entry per row. */
  readonly masks?: ReadonlyMap<string, readonly boolean[]>;
  /** What errors are relative to, for tensors that are 0 but for rounding. */
  readonly scales?: ReadonlyMap<string, number>;
  /** Tolerances other than the default. */
  readonly tolerances?: ReadonlyMap<string, number>;
};

/** The recorded tensor `name`, or undefined; as one element type, for inputs. */
export const numbersOf = (tensor: TensorData): number[] => Array.from(tensor.data, Number);

/** Rows of a [B, T] tensor of integers. */
export const rowsOf = (tensor: TensorData): number[][] => {
  const [batch, length] = tensor.shape;
  const all = numbersOf(tensor);
  return Array.from({ length: batch }, (_, row) => all.slice(row * length, (row + 1) * length));
};
