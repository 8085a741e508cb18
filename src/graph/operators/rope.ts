import { ShapeError } from "../../errors.js";
import { float32 } from "../../tensor-data.js";
import { apply, type Operator } from "../operator.js";
import { formatShape, multiplyDims, productOfDims, sameShape } from "../shape.js";
import { constant, type Tensor } from "../tensor.js";

/** `halves`: element i of a head is turned with element i + E/2; `pairs`: elements 2i and 2i + 1. */
export type RopeLayout = "halves" | "pairs";

const ropeOperator: Operator<{ readonly numHeads: number; readonly layout: RopeLayout }> = {
  name: "rope",
  shape: ([x, positions, cosines], { numHeads }) => {
    if (
      x.rank !== 3 ||
      positions.dtype !== "int64" ||
      !sameShape(positions.shape, x.shape.slice(0, 2))
    ) {
      throw new ShapeError(
        `rope: needs [B, T, heads * E] and int64 positions [B, T], got ${formatShape(x.shape)} and ${positions.dtype}${formatShape(positions.shape)}`,
      );
    }
    const turned = multiplyDims(2 * numHeads, cosines.shape[1]);
    if (!(Number(turned) <= Number(x.shape[2]))) {
      throw new ShapeError(
        `rope: tables may be no wider than half of a head, got ${formatShape(cosines.shape)} for ${numHeads} heads of ${formatShape(x.shape)}`,
      );
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  lower: (lowering, outputs, { inputs, attributes: { numHeads, layout } }) => {
    const [x, , cosines] = inputs;
    const turned = 2 * Number(cosines.shape[1]);
    const isPartial = turned * numHeads !== x.shape[2];
    lowering.emit("RotaryEmbedding", inputs.map(lowering.name), {
      outputs,
      domain: "com.microsoft",
      attributes: {
        num_heads: { int: numHeads },
        interleaved: { int: layout === "pairs" ? 1 : 0 },
        ...(isPartial && { rotary_embedding_dim: { int: turned } }),
      },
    });
  },
  // A rotation's gradient is the rotation back.
  gradient: ({ inputs: [, positions, cosines, sines], attributes }, [g], tools) => {
    if (g === undefined) return [];
    const back = { cosines, sines: tools.negate(sines) };
    return [tools.rope(g, positions, back, attributes.numHeads, attributes.layout)];
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/** Cosines and sines of every place, [places, E/2] each; narrower where a part of a head is turned. */
export type RopeTables = { readonly cosines: Tensor; readonly sines: Tensor };

/**
 * The tables of rotary embeddings for places 0 .. numPositions-1, from the inverse frequencies
 * [E/2]. Computed in double precision: float32 angles would be off by 1e-4 at a few thousand.
 */
export const ropeTables = (
  inverseFrequencies: ArrayLike<number>,
  numPositions: number,
): RopeTables => {
  const half = inverseFrequencies.length;
  const cosines = new Float32Array(numPositions * half);
  const sines = new Float32Array(numPositions * half);
  for (let position = 0; position < numPositions; position += 1) {
    for (let index = 0; index < half; index += 1) {
      const angle = position * inverseFrequencies[index];
      cosines[position * half + index] = Math.cos(angle);
      sines[position * half + index] = Math.sin(angle);
    }
  }
  const shape = [numPositions, half];
  return { cosines: constant(float32(shape, cosines)), sines: constant(float32(shape, sines)) };
};

/**
 * Rotary position embedding of every head (Su et al. 2021), by default in the rotate-half layout of
 * LLaMA. x [B, T, heads·E], positions [B, T] (int64), tables [places, E/2]; narrower tables turn the
 * first elements of a head alone.
 */
export const rope = (
  x: Tensor,
  positions: Tensor,
  tables: RopeTables,
  numHeads: number,
  layout: RopeLayout = "halves",
): Tensor =>
  apply(ropeOperator, [x, positions, tables.cosines, tables.sines], { numHeads, layout })[0];
