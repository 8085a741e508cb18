/** The graphs of LLaVA-Mini before the language model. */
import { addDims, createGraph, dim, type Graph, input } from "../graph/index.js";
import { llamaRopeTables } from "../language/llama.js";
import {
  type LlavaMiniParams,
  llavaMiniFuse,
  llavaMiniVisual,
  llavaMiniVisualShapes,
} from "./llava-mini.js";
import { compressorConfig, fusedPatches, type LlavaMiniConfig } from "./llava-mini-config.js";
import { spliceEmbeddings } from "./splice.js";

/** Places of pre-fusion before the text: all patches, and the compressed tokens where they go in. */
export const fusedVisualPlaces = (config: LlavaMiniConfig): number =>
  fusedPatches(config) +
  (config.variant.compressedTokens === "fused" ? compressorConfig(config).gridSide ** 2 : 0);

/** Pixels of one image to what a question is fused with. */
export const llavaMiniVisionGraph = (params: LlavaMiniParams, config: LlavaMiniConfig): Graph => {
  const pixels = input("pixels", "float32", llavaMiniVisualShapes(config, 1).pixels);
  return createGraph("llava-mini.vision", { ...llavaMiniVisual(params, pixels, config) });
};

/** Pre-fusion of one image with a prompt of L places, at most `maxPromptTokens`. */
export const llavaMiniFusionGraph = (
  params: LlavaMiniParams,
  config: LlavaMiniConfig,
  maxPromptTokens: number,
): Graph => {
  const shapes = llavaMiniVisualShapes(config, 1);
  const visualPlaces = fusedVisualPlaces(config);
  const length = addDims(visualPlaces, dim("L"));
  const ids = input("ids", "int64", [1, "L"]);
  const keyMask = input("keyMask", "bool", [1, length]);
  const positions = input("positions", "int64", [1, length]);
  const visual = {
    patches: input("patches", "float32", shapes.patches),
    compressed: input("compressed", "float32", shapes.compressed),
  };
  const tables = llamaRopeTables(config.language, visualPlaces + maxPromptTokens);
  const fused = llavaMiniFuse(params, { visual, ids, keyMask, positions, tables }, config);
  return createGraph("llava-mini.fuse", {
    fusedCompressed: fused.compressed,
    fusedText: fused.text,
  });
};

/** Fused text [L, D] and compressed tokens [M, D], by index [1, T], to what the language model reads. */
export const llavaMiniSpliceGraph = (config: LlavaMiniConfig): Graph => {
  const { width } = config.language;
  const text = input("text", "float32", ["L", width]);
  const visual = input("visual", "float32", ["M", width]);
  const index = input("index", "int64", [1, "T"]);
  return createGraph("llava-mini.splice", { embeddings: spliceEmbeddings(text, visual, index) });
};
