import { type CacheTensors, type RopeTables, Tensor } from "../graph/index.js";
import type { DeltaNetMemory } from "./gated-delta-net.js";

/** What a layer keeps of earlier tokens: keys and values of each, or a state that all went into. */
export type LayerMemory = CacheTensors | DeltaNetMemory;

/** What the tokens of a call see besides themselves. */
export type LlamaContext = {
  readonly positions: Tensor; // [B, T] int64
  readonly tables: RopeTables;
} & (
  | {
      /**
       * Causal over this call's tokens alone; `bias` [B or 1, 1, T, T] is added to the scores, the same
       * in every layer or one for each.
       */
      readonly kind: "full";
      readonly bias?: Tensor | readonly Tensor[];
      /** Places that hold a token, [B, T] bool; recurrent layers need it where padding comes first. */
      readonly tokenMask?: Tensor;
      /** Samples of packed rows, [B, T] int64: recurrent layers begin anew with each. */
      readonly segments?: Tensor;
      /**
       * Places that are read out in the end, of all rows one after the other, [J] int64. The last layer
       * is computed for them alone behind its attention; all of them are where this is absent.
       */
      readonly readPlaces?: Tensor;
    }
  | {
      /** Causal over what layers keep and this call's tokens. */
      readonly kind: "cached";
      readonly caches: readonly LayerMemory[]; // one a layer
      readonly lastIndex: Tensor; // [B] int32
      readonly totalLength: Tensor; // [1] int32
    }
);

export type FullContext = Extract<LlamaContext, { readonly kind: "full" }>;

/** What is added to the scores of one layer. */
export const biasOf = ({ bias }: FullContext, layerIndex: number): Tensor | undefined =>
  bias instanceof Tensor || bias === undefined ? bias : bias[layerIndex];
