/**
 * First values of the compressor: those that the released code gives to a plain MLP, and the paper's
 * reuse of the layer before it (LLaVA-UHD v4, section 3.2.2), after which training begins close to
 * the encoder that was trained without it.
 */
import { OptionsError } from "../errors.js";
import { type Initializer, values } from "../graph/index.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";

/** A square matrix with ones on its diagonal, [side, side]. */
export const identityStart = (side: number): Initializer =>
  values(() => {
    const matrix = new Float32Array(side * side);
    for (let index = 0; index < side; index += 1) matrix[index * side + index] = 1;
    return matrix;
  });

/** Four quarter identities side by side, [width, 4·width]: the mean of four parts. */
export const averageStart = (width: number): Initializer =>
  values(() => {
    const matrix = new Float32Array(width * 4 * width);
    for (let row = 0; row < width; row += 1) {
      for (let part = 0; part < 4; part += 1) matrix[row * 4 * width + part * width + row] = 0.25;
    }
    return matrix;
  });

/** Four copies one after the other, [X] → [4X]. */
export const tile = ({ data }: TensorData<"float32">): TensorData<"float32"> => {
  const tiled = new Float32Array(4 * data.length);
  for (let part = 0; part < 4; part += 1) tiled.set(data, part * data.length);
  return float32([tiled.length], tiled);
};

/** Four copies on the diagonal, zeros elsewhere, [R, C] → [4R, 4C]. */
export const blockDiagonal = ({ shape, data }: TensorData<"float32">): TensorData<"float32"> => {
  const [rows, columns] = shape;
  const blocks = new Float32Array(16 * rows * columns);
  for (let part = 0; part < 4; part += 1) {
    for (let row = 0; row < rows; row += 1) {
      const target = ((part * rows + row) * 4 + part) * columns;
      blocks.set(data.subarray(row * columns, (row + 1) * columns), target);
    }
  }
  return float32([4 * rows, 4 * columns], blocks);
};

/** Four quarter copies side by side, [R, C] → [R, 4C]. */
export const quarters = ({ shape, data }: TensorData<"float32">): TensorData<"float32"> => {
  const [rows, columns] = shape;
  const side = new Float32Array(4 * rows * columns);
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const quarter = data[row * columns + column] / 4;
      for (let part = 0; part < 4; part += 1) side[(row * 4 + part) * columns + column] = quarter;
    }
  }
  return float32([rows, 4 * columns], side);
};

type Reuse = {
  /** Parameter of the layer, below the layer's own name. */
  readonly from: string;
  readonly make: (value: TensorData<"float32">) => TensorData<"float32">;
};

const same = (value: TensorData<"float32">): TensorData<"float32"> => value;

/** How a parameter of the compressor follows from the layer; undefined where none of it fits. */
const reuseOf = (name: string): Reuse | undefined => {
  const copied = /^(?:mixing|cross)\.(.+)$/.exec(name)?.[1];
  if (copied !== undefined) return { from: copied, make: same };
  switch (name) {
    case "merging.norm.weight":
      return { from: "norm2.weight", make: tile };
    case "merging.norm.bias":
      return { from: "norm2.bias", make: tile };
    case "merging.up.weight":
      return { from: "mlp.up.weight", make: blockDiagonal };
    case "merging.up.bias":
      return { from: "mlp.up.bias", make: tile };
    // A quarter each: their sum is the mean of four branches. The bias counts once.
    case "merging.down.weight":
      return { from: "mlp.down.weight", make: quarters };
    case "merging.down.bias":
      return { from: "mlp.down.bias", make: same };
    default:
      return undefined;
  }
};

/**
 * First value of the compressor's parameter `name` (below the compressor's own name, of shape `shape`)
 * from the layer before it: attention and norms are copied, the MLP becomes four blocks whose
 * results are averaged. `readLayer` reads a parameter of that layer. Throws `OptionsError` for a
 * parameter that does not follow from a layer, such as those of a plain MLP.
 */
export const reuseLayer = async (
  name: string,
  shape: readonly number[],
  readLayer: (name: string) => Promise<TensorData<"float32">>,
): Promise<TensorData<"float32">> => {
  const reuse = reuseOf(name);
  const value = reuse?.make(await readLayer(reuse.from));
  if (value !== undefined && String(value.shape) === String(shape)) return value;
  throw new OptionsError(
    `reuseLayer: "${name}" [${shape}], ${elementCount(shape)} elements, must follow from the layer before the compressor, ` +
      `got ${value === undefined ? "no rule for it" : `[${value.shape}]`}; reuse suits reused-mlp and attention, initialise a plain MLP as declared`,
  );
};
