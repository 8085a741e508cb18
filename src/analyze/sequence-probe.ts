/** The language model over a whole sequence at once, with its attention, and with tokens hidden from layers. */
import { OptionsError } from "../errors.js";
import type { VisionLanguageModel } from "../generate/model.js";
import {
  createGraph,
  type Graph,
  gatherRows,
  input,
  mean,
  reshape,
  type Session,
  slice,
  type Tensor,
} from "../graph/index.js";
import { embeddingGraph } from "../language/decoder-graph.js";
import { languageHead, llama, llamaRopeTables } from "../language/llama.js";
import { keyMaskBias } from "../nn/key-mask-bias.js";
import { Taps } from "../nn/taps.js";
import { bool, int64, type TensorData } from "../tensor-data.js";

/** Attention of one layer, the mean over its heads: row i is what token i sees, [T, T]. */
export type AttentionMap = {
  readonly length: number;
  readonly weights: Float32Array;
};

/** Tokens that nobody attends to in a layer. */
export type HiddenTokens = (layer: number, place: number) => boolean;

export type ProbedSequence = {
  readonly embeddings: TensorData<"float32">; // [1, T, D]
  /** Place of each token in the rotary embedding; 0 .. T-1 when absent. */
  readonly positions?: readonly number[];
  /** Nothing is hidden when absent. */
  readonly isHidden?: HiddenTokens;
};

export type SequenceProbe = {
  readonly numLayers: number;
  /** Ids below this may be chosen: models pad their vocabulary beyond the tokenizer's. */
  readonly vocabularySize: number;
  /** Ids that end an answer. */
  readonly endIds: ReadonlySet<number>;
  /** Token embeddings one after the other, [T · D]. */
  embed(ids: readonly number[]): Promise<Float32Array>;
  /** Attention of every layer. */
  attention(sequence: ProbedSequence): Promise<AttentionMap[]>;
  /** Next-token scores at `places`, [W] each. */
  scores(sequence: ProbedSequence, places: readonly number[]): Promise<Float32Array[]>;
  close(): Promise<void>;
};

/**
 * The decoder over whole sequences: the same layers as in generation, without a cache. A key mask for
 * each layer hides tokens from it; with `withAttention` the weights of every layer come out as well.
 */
const probeGraph = (
  { system: { params, language }, contextLength }: VisionLanguageModel,
  withAttention: boolean,
): Graph => {
  const { numLayers, width } = language;
  const visible = input("visible", "bool", [numLayers, "T"]);
  const taps = Taps.create();
  const { hidden } = llama(
    params.language,
    input("embeddings", "float32", [1, "T", width]),
    {
      kind: "full",
      positions: input("positions", "int64", [1, "T"]),
      tables: llamaRopeTables(language, contextLength),
      bias: params.language.layers.map((_, layer) =>
        keyMaskBias(slice(visible, 0, layer, layer + 1)),
      ),
    },
    language,
    taps,
  );
  const rows = gatherRows(reshape(hidden, [-1, width]), input("places", "int64", ["P"]));
  const outputs: Record<string, Tensor> = { scores: languageHead(params.language, rows) };
  for (let layer = 0; withAttention && layer < numLayers; layer += 1) {
    const weights = taps.tensors.get(`layers.${layer}.weights`) as Tensor;
    outputs[`attention.${layer}`] = mean(weights, [1]);
  }
  return createGraph(withAttention ? "analyze.attention" : "analyze.scores", outputs);
};

/**
 * Prepares a loaded model's language model for looking inside. Attention takes memory for one layer's
 * weights of all heads, and for one map a layer, T² float32 each. Close it after use. Throws
 * `OptionsError` for a language model with recurrent layers.
 */
export const createSequenceProbe = (model: VisionLanguageModel): SequenceProbe => {
  const { numLayers, deltaNet } = model.system.language;
  if (deltaNet !== undefined) {
    throw new OptionsError(
      "createSequenceProbe: every layer of the language model must attend, got recurrent ones, whose tokens can be neither weighed nor hidden; take another model",
    );
  }
  const graphs = {
    embed: () => embeddingGraph(model.system.params.language),
    attention: () => probeGraph(model, true),
    scores: () => probeGraph(model, false),
  };
  const sessions = new Map<string, Promise<Session>>();
  const session = (name: keyof typeof graphs): Promise<Session> => {
    const known = sessions.get(name) ?? model.open(graphs[name]());
    sessions.set(name, known);
    return known;
  };
  const feedsOf = (
    { embeddings, positions, isHidden }: ProbedSequence,
    places: readonly number[],
  ): Record<string, TensorData> => {
    const length = embeddings.shape[1];
    const every = Array.from({ length }, (_, place) => place);
    const visible = Array.from({ length: numLayers }, (_, layer) =>
      every.map((place) => isHidden?.(layer, place) !== true),
    );
    return {
      embeddings,
      positions: int64([1, length], positions ?? every),
      visible: bool([numLayers, length], visible.flat()),
      places: int64([places.length], places),
    };
  };
  return {
    numLayers,
    vocabularySize: model.tokenizer.vocabularySize,
    endIds: new Set(model.tokenizer.eosIds),
    embed: async (ids) => {
      const { embeddings } = await (await session("embed")).run({
        ids: int64([1, ids.length], ids),
      });
      return embeddings.data as Float32Array;
    },
    attention: async (sequence) => {
      const length = sequence.embeddings.shape[1];
      const results = await (await session("attention")).run(feedsOf(sequence, [length - 1]));
      return Array.from({ length: numLayers }, (_, layer) => ({
        length,
        weights: results[`attention.${layer}`].data as Float32Array,
      }));
    },
    scores: async (sequence, places) => {
      const { scores } = await (await session("scores")).run(feedsOf(sequence, places));
      const data = scores.data as Float32Array;
      const width = data.length / places.length;
      return places.map((_, row) => data.subarray(row * width, (row + 1) * width));
    },
    close: async () => {
      for (const opened of sessions.values()) await (await opened).close();
      sessions.clear();
    },
  };
};
