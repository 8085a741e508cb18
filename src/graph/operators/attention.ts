import { ShapeError } from "../../errors.js";
import { onnxDataType } from "../onnx/onnx-messages.js";
import { apply, type Lowering, type Operator } from "../operator.js";
import { type Dim, divideDims, formatShape, multiplyDims, sameDim } from "../shape.js";
import type { Tensor } from "../tensor.js";
import { attentionGradient } from "./attention-gradient.js";
import { emitComposedAttention } from "./composed-attention.js";

type AttentionAttributes = {
  readonly numHeads: number;
  /** Fewer than `numHeads` for grouped queries: consecutive query heads share one key-value head. */
  readonly numKeyValueHeads: number;
  /** Factor of the scores; 1/sqrt(E) as a rule. */
  readonly scale: number;
  /** Query t sees keys up to its own place. */
  readonly causal: boolean;
};

/** Width of one head, [.., heads·E] → E. */
const headWidth = (where: string, tensor: Tensor, numHeads: number): Dim => {
  const width = divideDims(tensor.shape[2] ?? 0, numHeads);
  if (tensor.rank !== 3 || width === undefined) {
    throw new ShapeError(
      `${where}: needs [B, T, heads * E] with ${numHeads} heads, got ${formatShape(tensor.shape)}`,
    );
  }
  return width;
};

const checkHeads = (
  where: string,
  [query, key, value]: readonly Tensor[],
  { numHeads, numKeyValueHeads }: AttentionAttributes,
): void => {
  const width = headWidth(where, query, numHeads);
  const keyWidth = headWidth(where, key, numKeyValueHeads);
  const valueWidth = headWidth(where, value, numKeyValueHeads);
  const isEven =
    sameDim(width, keyWidth) && sameDim(width, valueWidth) && numHeads % numKeyValueHeads === 0;
  if (!isEven) {
    throw new ShapeError(
      `${where}: ${numHeads} query heads need ${numKeyValueHeads} key-value heads of the same width, got ${formatShape(query.shape)}, ${formatShape(key.shape)} and ${formatShape(value.shape)}`,
    );
  }
  if (!sameDim(key.shape[1], value.shape[1])) {
    throw new ShapeError(
      `${where}: keys and values must be equally many, got ${formatShape(key.shape)} and ${formatShape(value.shape)}`,
    );
  }
};

/** GroupQueryAttention takes heads of a multiple of 8 elements; others are filled up with zeros. */
const headAlignment = 8;

/** Width of a head as kernel and cache hold it. */
export const alignedHeadWidth = (width: number): number =>
  Math.ceil(width / headAlignment) * headAlignment;

/** Fills every head of [B, T, heads·E] up to the aligned width: zeros add nothing to any score. */
const alignHeads = (lowering: Lowering, tensor: Tensor, numHeads: number): string => {
  const [batch, length] = tensor.shape;
  const width = Number(headWidth("attention", tensor, numHeads));
  const aligned = alignedHeadWidth(width);
  const name = lowering.name(tensor);
  if (aligned === width) return name;
  const heads = lowering.emit("Reshape", [name, lowering.sides([batch, length, numHeads, width])]);
  const filled = lowering.emit("Pad", [
    heads,
    lowering.ints([0, 0, 0, 0, 0, 0, 0, aligned - width]),
  ]);
  return lowering.emit("Reshape", [filled, lowering.sides([batch, length, numHeads * aligned])]);
};

/** Undoes `alignHeads` on the result: `emit` writes the aligned value's node under a given name. */
const cropHeads = (
  lowering: Lowering,
  result: Tensor,
  output: string,
  numHeads: number,
  emit: (output: string) => void,
): void => {
  const [batch, length] = result.shape;
  const width = Number(headWidth("attention", result, numHeads));
  const aligned = alignedHeadWidth(width);
  if (aligned === width) {
    emit(output);
    return;
  }
  emit(`${output}.aligned`);
  const heads = lowering.emit("Reshape", [
    `${output}.aligned`,
    lowering.sides([batch, length, numHeads, aligned]),
  ]);
  const cropped = lowering.emit("Slice", [
    heads,
    lowering.ints([0]),
    lowering.ints([width]),
    lowering.ints([3]),
  ]);
  lowering.emit("Reshape", [cropped, lowering.sides(result.shape)], { outputs: [output] });
};

/** The last int32 inputs of GroupQueryAttention when there is no cache: last index and length. */
const lengthsWithoutCache = (lowering: Lowering, batch: Dim, length: Dim): [string, string] => {
  const total = lowering.emit("Cast", [lowering.sides([length])], {
    attributes: { to: { int: onnxDataType.int32 } },
  });
  const last = lowering.emit(
    "Cast",
    [lowering.emit("Sub", [lowering.sides([length]), lowering.ints([1])])],
    { attributes: { to: { int: onnxDataType.int32 } } },
  );
  return [lowering.emit("Expand", [last, lowering.sides([batch])]), total];
};

const attentionOperator: Operator<AttentionAttributes> = {
  name: "attention",
  shape: (inputs, attributes) => {
    checkHeads("attention", inputs, attributes);
    const [query, key, , bias] = inputs;
    if (attributes.causal && !sameDim(query.shape[1], key.shape[1])) {
      throw new ShapeError(
        `attention: causal needs as many keys as queries, got ${formatShape(key.shape)} and ${formatShape(query.shape)}`,
      );
    }
    if (bias !== undefined) {
      const fits =
        bias.rank === 4 &&
        sameDim(bias.shape[2], query.shape[1]) &&
        sameDim(bias.shape[3], key.shape[1]);
      if (!fits) {
        throw new ShapeError(
          `attention: bias must be [B or 1, H or 1, T, S], got ${formatShape(bias.shape)}`,
        );
      }
    }
    const weights = [query.shape[0], attributes.numHeads, query.shape[1], key.shape[1]];
    return [
      { dtype: query.dtype, shape: query.shape },
      { dtype: query.dtype, shape: weights },
    ];
  },
  // The fused kernels give no weights: whoever reads them (a gradient) gets the composed form.
  lower: (lowering, [output, weights], { inputs, outputs: [result], attributes }) => {
    const [query, key, value, bias] = inputs;
    const { numHeads, numKeyValueHeads, scale, causal } = attributes;
    const numQueries = query.shape[1];
    const mostQueries = typeof numQueries === "number" ? numQueries : Number.POSITIVE_INFINITY;
    if (weights !== "" || mostQueries > lowering.maxFusedQueries) {
      emitComposedAttention(lowering, inputs, result, { output, weights }, attributes);
      return;
    }
    const outputs = [output];
    const biasName = bias === undefined ? "" : lowering.name(bias);
    if (!causal) {
      const projected = [query, key, value].map(lowering.name);
      lowering.emit("MultiHeadAttention", [...projected, "", "", biasName], {
        outputs,
        domain: "com.microsoft",
        attributes: { num_heads: { int: numHeads }, scale: { float: scale } },
      });
      return;
    }
    const [last, total] = lengthsWithoutCache(lowering, query.shape[0], key.shape[1]);
    const projected = [
      alignHeads(lowering, query, numHeads),
      alignHeads(lowering, key, numKeyValueHeads),
      alignHeads(lowering, value, numKeyValueHeads),
    ];
    cropHeads(lowering, result, output, numHeads, (aligned) => {
      lowering.emit(
        "GroupQueryAttention",
        [...projected, "", "", last, total, "", "", "", biasName],
        {
          outputs: [aligned, `${aligned}.key`, `${aligned}.value`],
          domain: "com.microsoft",
          attributes: {
            num_heads: { int: numHeads },
            kv_num_heads: { int: numKeyValueHeads },
            scale: { float: scale },
          },
        },
      );
    });
  },
  gradient: (operation, [g], tools) =>
    g === undefined ? [] : attentionGradient(operation, g, tools),
  cost: ({ inputs: [query, key], attributes: { numHeads } }) => ({
    attention: multiplyDims(2, ...query.shape, key.shape[1]),
    elementwise: multiplyDims(query.shape[0], numHeads, query.shape[1], key.shape[1]),
  }),
};

/**
 * `attention` with its weights [B, H, T, S] beside the output. Weights that nobody reads cost nothing;
 * where somebody does, attention is composed of products and a soft-max.
 */
export const attentionWithWeights = (
  query: Tensor,
  key: Tensor,
  value: Tensor,
  attributes: AttentionAttributes,
  bias?: Tensor,
): { readonly output: Tensor; readonly weights: Tensor } => {
  if (!attributes.causal && attributes.numHeads !== attributes.numKeyValueHeads) {
    throw new ShapeError(
      `attention: grouped queries need a causal mask here, got ${attributes.numHeads} and ${attributes.numKeyValueHeads} heads; repeat the key-value heads`,
    );
  }
  const inputs = bias === undefined ? [query, key, value] : [query, key, value, bias];
  const [output, weights] = apply(attentionOperator, inputs, attributes);
  return { output, weights };
};

/**
 * Multi-head attention, `softmax(scale · Q Kᵀ + bias) V` per head (Vaswani et al. 2017, section 3.2;
 * grouped queries: Ainslie et al. 2023).
 * query [B, T, H·E], key and value [B, S, K·E], bias [B or 1, H or 1, T, S] → [B, T, H·E].
 */
export const attention = (
  query: Tensor,
  key: Tensor,
  value: Tensor,
  attributes: AttentionAttributes,
  bias?: Tensor,
): Tensor => attentionWithWeights(query, key, value, attributes, bias).output;

/** A key-value cache as symbolic tensors. */
export type CacheTensors = {
  /** [B, K, S, E'] each; S is the capacity, E' the aligned width of a head. */
  readonly key: Tensor;
  readonly value: Tensor;
};

type CachedAttentionAttributes = Omit<AttentionAttributes, "causal">;

const cachedAttentionOperator: Operator<CachedAttentionAttributes> = {
  name: "cached-attention",
  // Without present keys and values to write, GroupQueryAttention does not look at the past ones.
  needsAllOutputs: true,
  shape: (inputs, attributes) => {
    checkHeads("cachedAttention", inputs, { ...attributes, causal: true });
    const [query, , , pastKey, pastValue] = inputs;
    const width = alignedHeadWidth(
      Number(headWidth("cachedAttention", query, attributes.numHeads)),
    );
    for (const cache of [pastKey, pastValue]) {
      const [batch, heads, , cacheWidth] = cache.shape;
      const fits =
        cache.rank === 4 &&
        sameDim(batch, query.shape[0]) &&
        sameDim(heads, attributes.numKeyValueHeads) &&
        sameDim(cacheWidth, width);
      if (!fits) {
        throw new ShapeError(
          `cachedAttention: a cache must be [B, ${attributes.numKeyValueHeads}, S, ${width}], got ${formatShape(cache.shape)}`,
        );
      }
    }
    return [
      { dtype: query.dtype, shape: query.shape },
      { dtype: pastKey.dtype, shape: pastKey.shape },
      { dtype: pastValue.dtype, shape: pastValue.shape },
    ];
  },
  lower: (lowering, [output, ...caches], { inputs, outputs: [result], attributes }) => {
    const { numHeads, numKeyValueHeads, scale } = attributes;
    const [query, key, value, ...rest] = inputs;
    const names = [
      alignHeads(lowering, query, numHeads),
      alignHeads(lowering, key, numKeyValueHeads),
      alignHeads(lowering, value, numKeyValueHeads),
      ...rest.map(lowering.name),
    ];
    cropHeads(lowering, result, output, numHeads, (aligned) => {
      lowering.emit("GroupQueryAttention", names, {
        outputs: [aligned, ...caches],
        domain: "com.microsoft",
        attributes: {
          num_heads: { int: numHeads },
          kv_num_heads: { int: numKeyValueHeads },
          scale: { float: scale },
        },
      });
    });
  },
  // Priced at full capacity; cost reports bind S to the length that is really attended to.
  cost: ({ inputs: [query, , , pastKey], attributes: { numHeads } }) => ({
    attention: multiplyDims(2, ...query.shape, pastKey.shape[2]),
    elementwise: multiplyDims(query.shape[0], numHeads, query.shape[1], pastKey.shape[2]),
  }),
};

/**
 * Causal attention over what a cache holds plus the new tokens. The returned cache has the new
 * tokens appended; whoever keeps the memory fetches `cacheRows` instead, which are far fewer bytes.
 *
 * query [B, T, H·E], key and value [B, T, K·E], caches [B, K, S, E'] with E' = `alignedHeadWidth(E)`;
 * lastIndex [B] int32: place of the last valid token of each sample after this call;
 * totalLength [1] int32: the largest of them plus one. With T > 1 and a cache that is not empty, B
 * must be 1 (ONNX Runtime's rule).
 */
export const cachedAttention = (
  query: Tensor,
  key: Tensor,
  value: Tensor,
  cache: CacheTensors,
  { lastIndex, totalLength }: { readonly lastIndex: Tensor; readonly totalLength: Tensor },
  attributes: CachedAttentionAttributes,
): { readonly output: Tensor; readonly cache: CacheTensors } => {
  const [output, presentKey, presentValue] = apply(
    cachedAttentionOperator,
    [query, key, value, cache.key, cache.value, lastIndex, totalLength],
    attributes,
  );
  return { output, cache: { key: presentKey, value: presentValue } };
};
