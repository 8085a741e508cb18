/**
 * A vision transformer over views of any sizes, packed into one row: what SigLIP, MoonViT and CLIP
 * have in common. Their files say what is theirs: table, rotation, class token, norms, names.
 */
import {
  add,
  addDims,
  broadcast,
  concat,
  type Dim,
  dim,
  gatherRows,
  gradientCheckpoint,
  input,
  multiply,
  multiplyDims,
  normal,
  type RopeTables,
  reshape,
  rope,
  slice,
  subtractDims,
  type Tensor,
} from "../graph/index.js";
import { projectQueryKeyValue } from "../nn/attention-block.js";
import { applyLinear } from "../nn/linear.js";
import { applyLayerNorm, type LayerNormParams, layerNormParams } from "../nn/norms.js";
import {
  joinGroups,
  type PackedViews,
  packedAttention,
  splitGroups,
  type ViewGroup,
} from "../nn/packed-views.js";
import type { ParameterScope } from "../nn/parameter-scope.js";
import {
  embedPatches,
  type PatchEmbeddingParams,
  patchEmbeddingParams,
} from "../nn/patch-embedding.js";
import type { Taps } from "../nn/taps.js";
import {
  type EncoderLayerConfig,
  type EncoderLayerParams,
  encoderLayer,
  encoderLayerParams,
} from "./encoder-layer.js";
import type { TableSize } from "./position-lookup.js";

export type PackedTowerConfig = EncoderLayerConfig & {
  readonly kind: "siglip" | "moonvit" | "clip";
  readonly numChannels: number;
  readonly patchSizePx: number;
  readonly numLayers: number;
  /** Layers that are computed; later ones are parameters that nothing reads. */
  readonly numUsedLayers: number;
  /** Learned positions of a grid, added once at the input. */
  readonly positions: { readonly table: TableSize; readonly lookup: "bucket" | "bicubic" };
  /** Base of a rotation of queries and keys by row and column. */
  readonly rotaryTheta?: number;
  readonly patchBias: boolean;
  readonly hasClassToken: boolean;
  readonly hasInputNorm: boolean;
  readonly hasOutputNorm: boolean;
  /** Whether the output norm is applied; CLIP's is not when an earlier layer is read. */
  readonly usesOutputNorm: boolean;
};

export type PackedTowerParams = {
  readonly patchEmbedding: PatchEmbeddingParams;
  readonly positions: Tensor; // [rows · columns, D], or [rows, columns, D]; CLIP: a first row for the class token
  readonly classToken?: Tensor; // [D]
  readonly preNorm?: LayerNormParams;
  readonly layers: readonly EncoderLayerParams[];
  readonly postNorm?: LayerNormParams;
};

export const packedTowerParams = (
  scope: ParameterScope,
  config: PackedTowerConfig,
): PackedTowerParams => {
  const { width, numChannels, patchSizePx, patchBias, positions, hasClassToken } = config;
  const { rows, columns } = positions.table;
  const tableShape =
    positions.lookup === "bicubic"
      ? [rows, columns, width]
      : [rows * columns + Number(hasClassToken), width];
  return {
    patchEmbedding: patchEmbeddingParams(
      scope.child("patchEmbedding"),
      width,
      numChannels,
      patchSizePx,
      { bias: patchBias },
    ),
    positions: scope.parameter("positions", tableShape, normal(0.02)),
    ...(hasClassToken && { classToken: scope.parameter("classToken", [width], normal(0.02)) }),
    ...(config.hasInputNorm && { preNorm: layerNormParams(scope.child("preNorm"), width) }),
    layers: scope.list("layers", config.numLayers, (layer) => encoderLayerParams(layer, config)),
    ...(config.hasOutputNorm && { postNorm: layerNormParams(scope.child("postNorm"), width) }),
  };
};

/** Views with equally many patches: V of them with M tokens in the end, each made of P patches. */
export type PatchGroup = {
  readonly patches: Tensor; // [V, M, P, C·p·p], in merging order
  readonly rows: Tensor; // [V, M, P, taps] int64, rows of the position table
  readonly weights?: Tensor; // [V, M, P, taps]
  readonly places?: Tensor; // [V, M, P, 1] int64, rows of the rotation's tables
};

export type PackedTowerInput = {
  readonly groups: readonly PatchGroup[];
  /** Cosines and sines of every row and column that occurs, [places, E/2]. */
  readonly rotation?: RopeTables;
};

/** Sides of a group, as numbers or names. */
export type GroupSides = { readonly numViews: Dim; readonly numTokens: Dim };

/** Names of a group's inputs. */
export const patchGroupNames = (group: number) =>
  ({
    patches: `patches.${group}`,
    rows: `positions.${group}`,
    weights: `positionWeights.${group}`,
    places: `places.${group}`,
  }) as const;
export const rotationNames = { cosines: "rotation.cosines", sines: "rotation.sines" } as const;

/** Sides of so many groups, all named. */
export const namedGroups = (numGroups: number): GroupSides[] =>
  Array.from({ length: numGroups }, (_, group) => ({
    numViews: dim(`V${group}`),
    numTokens: dim(`M${group}`),
  }));

/** Declares the inputs of a graph over groups of views, `patchesPerToken` patches merged into one token. */
export const packedTowerInput = (
  config: PackedTowerConfig,
  groups: readonly GroupSides[],
  patchesPerToken: number,
): PackedTowerInput => {
  const { width, numHeads, numChannels, patchSizePx, positions, rotaryTheta } = config;
  const isBucket = positions.lookup === "bucket";
  const numTaps = isBucket ? 1 : 16;
  const half = width / numHeads / 2;
  return {
    groups: groups.map(({ numViews, numTokens }, group) => {
      const names = patchGroupNames(group);
      const lead = [numViews, numTokens, patchesPerToken];
      return {
        patches: input(names.patches, "float32", [...lead, numChannels * patchSizePx ** 2]),
        rows: input(names.rows, "int64", [...lead, numTaps]),
        ...(!isBucket && { weights: input(names.weights, "float32", [...lead, numTaps]) }),
        ...(rotaryTheta !== undefined && { places: input(names.places, "int64", [...lead, 1]) }),
      };
    }),
    ...(rotaryTheta !== undefined && {
      rotation: {
        cosines: input(rotationNames.cosines, "float32", ["R", half]),
        sines: input(rotationNames.sines, "float32", ["R", half]),
      },
    }),
  };
};

/** All groups' rows of one kind, joined: [V, M, P, X] each → [N, X]; undefined where they have none. */
const joinRows = (parts: readonly (Tensor | undefined)[]): Tensor | undefined => {
  const present = parts.filter((part) => part !== undefined);
  if (present.length === 0) return undefined;
  const rows = present.map((part) => {
    const [views, tokens, patches, width] = part.shape;
    return reshape(part, [multiplyDims(views, tokens, patches), width]);
  });
  return concat(rows, 0);
};

/** Rows of the table, or sums of several weighted ones. rows [N, taps], weights [N, taps] → [N, D]. */
const lookUpPositions = (table: Tensor, rows: Tensor, weights: Tensor | undefined): Tensor => {
  const [total, numTaps] = rows.shape;
  const tap = (index: number): Tensor =>
    gatherRows(table, reshape(slice(rows, 1, index, index + 1), [total]));
  if (weights === undefined) return tap(0);
  // One tap after the other: all at once would take 16 times the memory of the tokens.
  const taps = Array.from({ length: Number(numTaps) }, (_, index) =>
    multiply(tap(index), slice(weights, 1, index, index + 1)),
  );
  return taps.reduce((sum, part) => add(sum, part));
};

/** Tokens on their way through a tower. */
export type TowerTokens = PackedViews & {
  /** Leading tokens of each view that are no patches. */
  readonly numPrefix: number;
  readonly rotation?: { readonly places: Tensor; readonly tables: RopeTables }; // places [N, 1] int64
};

/** Patches to the tokens that the first layer reads. */
export const packedEmbedding = (
  params: PackedTowerParams,
  { groups, rotation }: PackedTowerInput,
  { width, hasClassToken, normEpsilon }: PackedTowerConfig,
  taps?: Taps,
): TowerTokens => {
  const patches = embedPatches(
    params.patchEmbedding,
    joinRows(groups.map((group) => group.patches)) as Tensor,
  );
  taps?.add("patches", patches);
  const whole = reshape(params.positions, [-1, width]);
  const table = hasClassToken ? slice(whole, 0, 1, whole.shape[0]) : whole;
  const rows = joinRows(groups.map((group) => group.rows)) as Tensor;
  const weights = joinRows(groups.map((group) => group.weights));
  let tokens = add(patches, lookUpPositions(table, rows, weights));
  let sides: readonly ViewGroup[] = groups.map(({ patches: { shape } }) => ({
    numViews: shape[0],
    numTokens: multiplyDims(shape[1], shape[2]),
  }));
  if (params.classToken !== undefined) {
    const first = add(params.classToken, reshape(slice(whole, 0, 0, 1), [width]));
    tokens = joinGroups(
      splitGroups(tokens, sides).map((views) => {
        const classTokens = broadcast(reshape(first, [1, 1, width]), [views.shape[0], 1, width]);
        return concat([classTokens, views], 1);
      }),
    );
    sides = sides.map(({ numViews, numTokens }) => ({
      numViews,
      numTokens: addDims(numTokens, 1),
    }));
  }
  if (params.preNorm !== undefined) tokens = applyLayerNorm(params.preNorm, tokens, normEpsilon);
  taps?.add("embeddings", tokens);
  const places = joinRows(groups.map((group) => group.places));
  return {
    tokens,
    groups: sides,
    numPrefix: Number(hasClassToken),
    ...(places !== undefined &&
      rotation !== undefined && {
        rotation: { places, tables: rotation },
      }),
  };
};

/** One layer; every token sees its own view. */
export const packedLayer = (
  params: EncoderLayerParams,
  x: TowerTokens,
  config: EncoderLayerConfig,
  taps?: Taps,
): TowerTokens => {
  const output = encoderLayer(
    params,
    x.tokens,
    (attention, normed) =>
      packedSelfAttention(attention, { ...x, tokens: normed }, config.numHeads),
    config,
    taps,
  );
  const shared = x.rotation === undefined ? [] : [x.rotation.places];
  return { ...x, tokens: gradientCheckpoint(output, x.tokens, shared) };
};

/** Queries and keys turned by row and column, then attention within each view. → [N, D]. */
export const packedSelfAttention = (
  params: EncoderLayerParams["attention"],
  { tokens, groups, rotation }: TowerTokens,
  numHeads: number,
): Tensor => {
  const projected = projectQueryKeyValue(params, tokens);
  if (rotation === undefined) {
    return applyLinear(params.output, packedAttention(projected, groups, numHeads));
  }
  const places = splitGroups(rotation.places, groups).map((part) =>
    reshape(part, part.shape.slice(0, 2)),
  );
  const turn = (rows: Tensor, group: number): Tensor =>
    rope(rows, places[group], rotation.tables, numHeads, "pairs");
  const mixed = packedAttention(projected, groups, numHeads, turn);
  return applyLinear(params.output, mixed);
};

/** The norm after the last layer, and no class token any more. */
export const packedOutput = (
  params: PackedTowerParams,
  x: TowerTokens,
  { normEpsilon, usesOutputNorm }: PackedTowerConfig,
  taps?: Taps,
): PackedViews => {
  const { tokens, groups } = splitPrefix(x).patches;
  const normed =
    usesOutputNorm && params.postNorm !== undefined
      ? applyLayerNorm(params.postNorm, tokens, normEpsilon)
      : tokens;
  taps?.add("output", normed);
  return { tokens: normed, groups };
};

/** The patches of every view, and the tokens before them, [V, prefix, D] a group. */
export const splitPrefix = ({
  tokens,
  groups,
  numPrefix,
}: Pick<TowerTokens, "tokens" | "groups" | "numPrefix">): {
  readonly prefix: readonly Tensor[];
  readonly patches: PackedViews;
} => {
  if (numPrefix === 0) return { prefix: [], patches: { tokens, groups } };
  const views = splitGroups(tokens, groups);
  return {
    prefix: views.map((part) => slice(part, 1, 0, numPrefix)),
    patches: {
      tokens: joinGroups(views.map((part) => slice(part, 1, numPrefix, part.shape[1]))),
      groups: groups.map(({ numViews, numTokens }) => ({
        numViews,
        numTokens: subtractDims(numTokens, numPrefix),
      })),
    },
  };
};

/** The opposite of `splitPrefix`, for views that have become shorter meanwhile. */
export const joinPrefix = (
  prefix: readonly Tensor[],
  { tokens, groups }: PackedViews,
): PackedViews => {
  if (prefix.length === 0) return { tokens, groups };
  const views = splitGroups(tokens, groups);
  return {
    tokens: joinGroups(views.map((part, group) => concat([prefix[group], part], 1))),
    groups: groups.map(({ numViews, numTokens }, group) => ({
      numViews,
      numTokens: addDims(numTokens, prefix[group].shape[1]),
    })),
  };
};
