/**
 * A vision tower that learns to read by itself (ours): every place of every patch tells which character is there. The paper
 * starts from a tower that has seen billions of pictures with their texts; a small one that starts from little gets from
 * an answer's few letters too little to find out how letters look, and from a label at each place enough. The layer that
 * tells the characters is a scaffold: it trains with the tower and is no part of the model.
 */
import { ShapeError } from "../errors.js";
import { input, multiplyDims, reshape, type Tensor } from "../graph/index.js";
import { noPrint, placesPerPatch, unreadablePrint } from "../image/print-grid.js";
import { applyLinear, type LinearParams, linearParams } from "../nn/linear.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import { float32, type TensorData } from "../tensor-data.js";
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

/** Where the scaffold's parameters stand beside a model's. */
export const printReaderName = "printReader";

/** Space to tilde; space stands for no print. */
const numCharacters = 96;
const firstCode = 0x20;

/** What a place without print counts beside one with: most of an image has none. */
const emptyWeight = 0.1;

export const printReaderParams = (
  scope: ParameterScope,
  { width }: Pick<PackedTowerConfig, "width">,
): LinearParams =>
  linearParams(scope.child(printReaderName), placesPerPatch * numCharacters, width);

export type PrintReading = {
  /** Scores of all characters at every place, [N · 4, 96]. */
  readonly scores: Tensor;
  readonly targets: Tensor; // [N · 4] int64
  /** What a place counts; 0 where nothing is judged. */
  readonly weights: Tensor; // [N · 4]
};

/** What the reader makes of a tower's features. tokens [N, D]. */
export const readPrint = (reader: LinearParams, tokens: Tensor): PrintReading => {
  const numPlaces = multiplyDims(tokens.shape[0], placesPerPatch);
  return {
    scores: reshape(applyLinear(reader, tokens), [numPlaces, numCharacters]),
    targets: input("print.targets", "int64", [numPlaces]),
    weights: input("print.weights", "float32", [numPlaces]),
  };
};

/** A tower alone over `numGroups` groups of views, patches in raster order, and what the reader makes of it. */
export const towerPrintReading = (
  params: { readonly vision: PackedTowerParams; readonly reader: LinearParams },
  tower: PackedTowerConfig,
  numGroups: number,
): PrintReading => {
  let x = packedEmbedding(params.vision, packedTowerInput(tower, namedGroups(numGroups), 1), tower);
  for (let index = 0; index < tower.numUsedLayers; index += 1)
    x = packedLayer(params.vision.layers[index], x, tower);
  return readPrint(params.reader, packedOutput(params.vision, x, tower).tokens);
};

/** An image's views and its print, `printOfViews`. */
export type PrintedStrip = PatchStrip & { readonly print: Uint8Array };

const weightOf = (code: number): number => {
  if (code === unreadablePrint) return 0;
  return code === noPrint ? emptyWeight : 1;
};

/** What all places of the images count together. */
export const totalPrintWeight = (strips: readonly PrintedStrip[]): number =>
  strips.reduce((sum, { print }) => print.reduce((part, code) => part + weightOf(code), sum), 0);

/**
 * What `readPrint` is fed with, for views packed so that four tokens become one `mergeLevels` times. Throws `ShapeError`
 * for print that is not that of the strip's patches.
 */
export const printFeeds = (
  strips: readonly PrintedStrip[],
  mergeLevels: number,
): Record<string, TensorData> => {
  const { views } = planPacking(
    strips.flatMap(({ grids }) => grids),
    mergeLevels,
  );
  const perToken = placesPerPatch * 4 ** mergeLevels;
  const numPlaces = perToken * views.reduce((sum, { numTokens }) => sum + numTokens, 0);
  const targets = new BigInt64Array(numPlaces);
  const weights = new Float32Array(numPlaces);
  let view = 0;
  for (const { grids, print } of strips) {
    let from = 0;
    for (const { rows, columns } of grids) {
      let to = views[view].firstToken * perToken;
      for (const patch of mergingOrder(rows, columns, mergeLevels)) {
        for (let place = 0; place < placesPerPatch; place += 1, to += 1) {
          const code = print[from + patch * placesPerPatch + place];
          weights[to] = weightOf(code);
          targets[to] = BigInt(code > firstCode && code !== unreadablePrint ? code - firstCode : 0);
        }
      }
      from += rows * columns * placesPerPatch;
      view += 1;
    }
    if (from !== print.length) {
      throw new ShapeError(
        `printFeeds: print must have ${placesPerPatch} places for each patch, ${from} in all, got ${print.length}; make it with the plan that the views were cut by`,
      );
    }
  }
  return {
    "print.targets": { dtype: "int64", shape: [numPlaces], data: targets },
    "print.weights": float32([numPlaces], weights),
  };
};

/** What `towerPrintReading` is fed with. */
export const towerPrintFeeds = (
  strips: readonly PrintedStrip[],
  tower: PackedTowerConfig,
): Record<string, TensorData> => ({
  ...packPatches(strips, tower, 0).feeds,
  ...printFeeds(strips, 0),
});
