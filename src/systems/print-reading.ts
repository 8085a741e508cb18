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
import { countPackedTokens } from "../nn/packed-views.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import { float32, type TensorData } from "../tensor-data.js";
import { type PatchStrip, packPatches } from "../vision/pack-patches.js";
import {
  namedGroups,
  type PackedTowerConfig,
  type PackedTowerParams,
  packedEmbedding,
  packedLayer,
  packedOutput,
  packedTowerInput,
} from "../vision/packed-tower.js";

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

/** Scores of the characters at each place of the patches of `numGroups` groups of views. */
export const printReading = (
  params: { readonly vision: PackedTowerParams; readonly reader: LinearParams },
  tower: PackedTowerConfig,
  numGroups: number,
): PrintReading => {
  const groups = namedGroups(numGroups);
  let x = packedEmbedding(params.vision, packedTowerInput(tower, groups, 1), tower);
  for (let index = 0; index < tower.numUsedLayers; index += 1)
    x = packedLayer(params.vision.layers[index], x, tower);
  const { tokens } = packedOutput(params.vision, x, tower);
  const numPlaces = multiplyDims(countPackedTokens(groups), placesPerPatch);
  return {
    scores: reshape(applyLinear(params.reader, tokens), [numPlaces, numCharacters]),
    targets: input("print.targets", "int64", [numPlaces]),
    weights: input("print.weights", "float32", [numPlaces]),
  };
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

/** What `printReading` is fed with. Throws `ShapeError` for print that is not that of the strip's patches. */
export const printReadingFeeds = (
  strips: readonly PrintedStrip[],
  tower: PackedTowerConfig,
): Record<string, TensorData> => {
  const { feeds, views } = packPatches(strips, tower, 0);
  const numPlaces = placesPerPatch * views.reduce((sum, { numTokens }) => sum + numTokens, 0);
  const targets = new BigInt64Array(numPlaces);
  const weights = new Float32Array(numPlaces);
  let view = 0;
  for (const { grids, print } of strips) {
    let from = 0;
    for (const { rows, columns } of grids) {
      const to = views[view].firstToken * placesPerPatch;
      for (let place = 0; place < rows * columns * placesPerPatch; place += 1) {
        const code = print[from + place];
        weights[to + place] = weightOf(code);
        targets[to + place] = BigInt(code > firstCode && weightOf(code) > 0 ? code - firstCode : 0);
      }
      from += rows * columns * placesPerPatch;
      view += 1;
    }
    if (from !== print.length) {
      throw new ShapeError(
        `printReadingFeeds: print must have ${placesPerPatch} places for each patch, ${from} in all, got ${print.length}; make it with the plan that the views were cut by`,
      );
    }
  }
  return {
    ...feeds,
    "print.targets": { dtype: "int64", shape: [numPlaces], data: targets },
    "print.weights": float32([numPlaces], weights),
  };
};
