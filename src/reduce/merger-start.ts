/**
 * First values of a merger (ours): the mean over a window of what a trained projector makes of each patch. A decoder that
 * reads all patches by that projector understands such means from the first step, and training need not find again what
 * is known.
 */
import { OptionsError } from "../errors.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { blockDiagonal, quarters, tile } from "./early-compressor-start.js";

type Weights = TensorData<"float32">;

export type PooledStart = {
  /** Parameters of the trained projector, by name below it: `layers.0.weight`. */
  readonly readProjector: (name: string) => Promise<Weights>;
  /** What is drawn for the parameter otherwise: units of the MLP that the mean does not need keep it. */
  readonly drawn: () => Weights;
  /**
   * The standard deviation of what each stage's norm sees, over a window: the norm takes it out, and its gain puts it
   * back. Of the tower's features, and of the projector's tokens.
   */
  readonly deviations: readonly number[];
};

const same = (value: Weights): Weights => value;

/** Where the mean of a window is, and its negative: the activation's halves of both make the mean again. */
const meanThere = (weight: Weights, width: number): Weights => {
  const { shape, data } = weight;
  const columns = shape[1];
  const own = Float32Array.from(data);
  own.fill(0, 0, 2 * width * columns);
  for (let row = 0; row < width; row += 1) {
    for (let part = 0; part < 4; part += 1) {
      own[row * columns + part * width + row] = 0.25;
      own[(width + row) * columns + part * width + row] = -0.25;
    }
  }
  return float32(shape, own);
};

/** `gelu(x) - gelu(-x) = x`, of the first rows of the layer before, [width, 4·width]. */
const meanBack = (shape: readonly number[]): Weights => {
  const [width, columns] = shape;
  const own = new Float32Array(width * columns);
  for (let row = 0; row < width; row += 1) {
    own[row * columns + row] = 1;
    own[row * columns + width + row] = -1;
  }
  return float32(shape, own);
};

const constantOf = (shape: readonly number[], value: number): Weights =>
  float32(shape, new Float32Array(elementCount(shape)).fill(value));

/**
 * The value of a merger's parameter, `name` below the merger (`stages.0.up.weight`). The first stage is the projector over
 * each of four patches and their mean, the second one the mean of four such tokens.
 *
 * @throws OptionsError where the merger has not the projector's widths, more than two stages, or a stage no deviation.
 */
export const pooledStart = async (
  name: string,
  shape: readonly number[],
  { readProjector, drawn, deviations }: PooledStart,
): Promise<Weights> => {
  const [, stage, part] = /^stages\.(\d+)\.(.+)$/.exec(name) ?? [];
  const deviation = deviations[Number(stage)];
  if (part === undefined || Number(stage) > 1 || !(deviation > 0)) {
    throw new OptionsError(
      `pooledStart: fills one or two stages of a merger, each with the deviation of what it sees, got "${name}" and ${deviations.length} deviations; give one above 0 for each stage`,
    );
  }
  if (part === "norm.weight") return constantOf(shape, deviation);
  if (part === "norm.bias") return constantOf(shape, 0);
  const first = async (): Promise<Weights> => {
    const make = {
      up: { weight: blockDiagonal, bias: tile },
      down: { weight: quarters, bias: same },
    };
    const [layer, kind] = part.split(".") as ["up" | "down", "weight" | "bias"];
    return make[layer][kind](await readProjector(`layers.${layer === "up" ? 0 : 1}.${kind}`));
  };
  const second = (): Weights => {
    if (part.endsWith("bias")) return constantOf(shape, 0);
    return part === "up.weight" ? meanThere(drawn(), shape[1] / 4) : meanBack(shape);
  };
  const value = stage === "0" ? await first() : second();
  const isSquare = part !== "down.weight" || 4 * shape[0] === shape[1];
  if (String(value.shape) === String(shape) && isSquare) return value;
  throw new OptionsError(
    `pooledStart: "${name}" must be as wide as the projector and the tower, got [${shape}] and [${value.shape}]; start the merger otherwise`,
  );
};
