/** The graphs of LLaVA-1.5 and LLaVA-NeXT before the language model. */
import { createGraph, type Graph, input, reshape, type Tensor } from "../graph/index.js";
import { embedTokens } from "../language/llama.js";
import { type LlavaParams, llavaVisualTokens, newlineRow } from "./llava.js";
import type { LlavaConfig } from "./llava-config.js";
import { spliceEmbeddings } from "./splice.js";

/** Pixels [V, 3, side, side] to visual tokens [V, N, D]. */
export const llavaVisionGraph = (params: LlavaParams, config: LlavaConfig): Graph => {
  const side = config.vision.imageSizePx;
  const pixels = input("pixels", "float32", ["V", 3, side, side]);
  return createGraph("llava.vision", { tokens: llavaVisualTokens(params, pixels, config) });
};

/** Ids [L] and visual rows [M, D], by index [1, T], to what the language model reads. */
export const llavaSpliceGraph = (
  params: Pick<LlavaParams, "language" | "imageNewline">,
  config: Pick<LlavaConfig, "language">,
): Graph => {
  const { width } = config.language;
  const ids = input("ids", "int64", ["L"]);
  const visual = input("visual", "float32", ["M", width]);
  const index = input("index", "int64", [1, "T"]);
  const text = reshape(embedTokens(params.language, ids), ["L", width]);
  const learned: Tensor[] =
    params.imageNewline === undefined ? [] : [newlineRow(params.imageNewline)];
  return createGraph("llava.splice", {
    embeddings: spliceEmbeddings(text, visual, index, learned),
  });
};
