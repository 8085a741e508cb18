/**
 * Vision that learns to read by itself (ours): every place of every patch tells which character is there, and every visual
 * token its first ones. The paper starts from a tower that has seen billions of pictures with their texts; a small one that
 * starts from little gets from an answer's few letters too little to find out how letters look and what to keep when
 * patches are merged, and from a label at each place enough. The layers that tell the characters are a scaffold: they train
 * with the vision and are no part of the model.
 */
import { ShapeError } from "../errors.js";
import { input, multiplyDims, reshape, type Tensor } from "../graph/index.js";
import {
  charactersPerToken,
  noPrint,
  placesPerPatch,
  unreadablePrint,
} from "../image/print-grid.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import { float32, int64, type TensorData } from "../tensor-data.js";
import { type PatchStrip, packPatches, planPacking } from "../vision/pack-patches.js";
import {
  namedGroups,
  type PackedTowerConfig,
  type PackedTowerParams,
  packedEmbedding,
  packedLayer,
  packedOutput,
  packedTowerInput,
} from "../vision/packed-tower.js";
import { mergingOrder } from "../vision/patch-order.js";
import type { UhdVisionConfig } from "./llava-uhd-config.js";

/** Where the scaffold's parameters stand beside a model's. */
export const printReaderName = "printReader";

/** Space to tilde; space stands for no print. */
const numCharacters = 96;
const firstCode = 0x20;

/** What a place without print counts beside one with: most of an image has none. */
const emptyWeight = 0.1;

/** Two readers: of the tower's patches, and of the visual tokens that the connector makes of them. */
export type PrintReaderParams = { readonly patches: ReaderParams; readonly tokens: ReaderParams };

/** What is read comes at any scale: a norm goes before the layer that tells characters. */
type ReaderParams = { readonly norm: LayerNormParams; readonly characters: LinearParams };

const readerParams = (scope: ParameterScope, width: number, numPlaces: number): ReaderParams => ({
  norm: layerNormParams(scope.child("norm"), width),
  characters: linearParams(scope.child("characters"), numPlaces * numCharacters, width),
});

const normEpsilon = 1e-6;

export const printReaderParams = (
  scope: ParameterScope,
  { tower, outWidth }: Pick<UhdVisionConfig, "tower" | "outWidth">,
): PrintReaderParams => {
  const own = scope.child(printReaderName);
  return {
    patches: readerParams(own.child("patches"), tower.width, placesPerPatch),
    tokens: readerParams(own.child("tokens"), outWidth, charactersPerToken),
  };
};

export type PrintReading = {
  /** Scores of all characters at every place, [P, 96]. */
  readonly scores: Tensor;
  readonly targets: Tensor; // [P] int64
  /** What a place counts; 0 where nothing is judged. */
  readonly weights: Tensor; // [P]
};

/** What is read: the four places of a patch, or the first characters of a visual token. */
export type PrintLevel = keyof PrintReaderParams;

const perRow: Readonly<Record<PrintLevel, number>> = {
  patches: placesPerPatch,
  tokens: charactersPerToken,
};

/** What a reader makes of a tower's features, or of visual tokens. rows [N, D]. */
export const readPrint = (
  readers: PrintReaderParams,
  level: PrintLevel,
  rows: Tensor,
): PrintReading => {
  const numPlaces = multiplyDims(rows.shape[0], perRow[level]);
  const { norm, characters } = readers[level];
  const told = applyLinear(characters, applyLayerNorm(norm, rows, normEpsilon));
  return {
    scores: reshape(told, [numPlaces, numCharacters]),
    targets: input(`print.${level}.targets`, "int64", [numPlaces]),
    weights: input(`print.${level}.weights`, "float32", [numPlaces]),
  };
};

/** A tower alone over `numGroups` groups of views, patches in raster order, and what the reader makes of it. */
export const towerPrintReading = (
  params: { readonly vision: PackedTowerParams; readonly readers: PrintReaderParams },
  tower: PackedTowerConfig,
  numGroups: number,
): PrintReading => {
  let x = packedEmbedding(params.vision, packedTowerInput(tower, namedGroups(numGroups), 1), tower);
  for (let index = 0; index < tower.numUsedLayers; index += 1)
    x = packedLayer(params.vision.layers[index], x, tower);
  return readPrint(params.readers, "patches", packedOutput(params.vision, x, tower).tokens);
};

/** What is printed in an image's views: `printOfPatches` and `printOfTokens`. */
export type ViewPrint = Readonly<Record<PrintLevel, Uint8Array>>;

export type PrintedStrip = PatchStrip & { readonly print: ViewPrint };

const weightOf = (code: number): number => {
  if (code === unreadablePrint) return 0;
  return code === noPrint ? emptyWeight : 1;
};

/** What all places of the images' patches count together. */
export const totalPrintWeight = (strips: readonly PrintedStrip[]): number =>
  strips.reduce(
    (sum, { print }) => print.patches.reduce((part, code) => part + weightOf(code), sum),
    0,
  );

/** Inputs of a level, from the codes of all its rows in the order in which they are packed. */
const feedCodes = (level: PrintLevel, codes: Uint8Array): Record<string, TensorData> => ({
  [`print.${level}.targets`]: int64(
    [codes.length],
    [...codes].map((code) => (code > firstCode && code !== unreadablePrint ? code - firstCode : 0)),
  ),
  [`print.${level}.weights`]: float32([codes.length], Float32Array.from(codes, weightOf)),
});

/**
 * What `readPrint` is fed with, for views packed so that four tokens become one `mergeLevels` times. Throws `ShapeError`
 * for print that is not that of the strip's patches.
 */
export const printFeeds = (
  strips: readonly PrintedStrip[],
  level: PrintLevel,
  mergeLevels: number,
): Record<string, TensorData> => {
  const { views } = planPacking(
    strips.flatMap(({ grids }) => grids),
    mergeLevels,
  );
  const perView = 4 ** mergeLevels;
  // Patches stand in merging order; tokens, which come of it, in raster order.
  const orderOf = (rows: number, columns: number): Iterable<number> =>
    level === "patches"
      ? mergingOrder(rows, columns, mergeLevels)
      : Array((rows * columns) / perView).keys();
  const rowsPerToken = level === "patches" ? perView : 1;
  const width = perRow[level];
  const total = views.reduce((sum, { numTokens }) => sum + numTokens, 0);
  const codes = new Uint8Array(total * rowsPerToken * width);
  let view = 0;
  for (const { grids, print } of strips) {
    let first = 0;
    for (const { rows, columns } of grids) {
      let to = views[view].firstToken * rowsPerToken * width;
      let count = 0;
      for (const row of orderOf(rows, columns)) {
        const from = (first + row) * width;
        codes.set(print[level].subarray(from, from + width), to);
        to += width;
        count += 1;
      }
      first += count;
      view += 1;
    }
    if (first * width !== print[level].length) {
      throw new ShapeError(
        `printFeeds: print must have ${width} places for each of ${first} ${level}, ${first * width} in all, got ${print[level].length}; make it with the plan that the views were cut by`,
      );
    }
  }
  return feedCodes(level, codes);
};

/** What `towerPrintReading` is fed with. */
export const towerPrintFeeds = (
  strips: readonly PrintedStrip[],
  tower: PackedTowerConfig,
): Record<string, TensorData> => ({
  ...packPatches(strips, tower, 0).feeds,
  ...printFeeds(strips, "patches", 0),
});
