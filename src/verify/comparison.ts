import { elementCount, type TensorData } from "../tensor-data.js";

/** How one recorded tensor compares with what we produced. */
export type TensorVerdict = {
  readonly name: string;
  /**
   * Largest absolute difference over the recorded tensor's largest absolute value; for integers and
   * booleans the share of elements that differ. Infinite when not produced or not finite.
   */
  readonly relativeError: number;
  readonly tolerance: number;
  readonly ok: boolean;
  /** Why it failed, where the figure alone does not say. */
  readonly reason?: string;
};

/**
 * Compares where `mask` is true (one entry per row of the last side), or everywhere. `scale`: what
 * errors are relative to, for tensors that are 0 but for rounding; else the largest recorded value.
 */
export const compareTensors = (
  name: string,
  recorded: TensorData,
  produced: TensorData | undefined,
  tolerance: number,
  mask?: readonly boolean[],
  scale?: number,
): TensorVerdict => {
  const fail = (reason: string): TensorVerdict => ({
    name,
    relativeError: Number.POSITIVE_INFINITY,
    tolerance,
    ok: false,
    reason,
  });
  if (produced === undefined) return fail("not produced");
  if (String(produced.shape) !== String(recorded.shape)) {
    return fail(`shape [${produced.shape}] instead of [${recorded.shape}]`);
  }
  const count = elementCount(recorded.shape);
  const rowLength = mask === undefined ? 1 : count / mask.length;
  if (!Number.isInteger(rowLength)) return fail(`a mask of ${mask?.length} rows does not fit`);
  const isCompared = (index: number): boolean =>
    mask === undefined || mask[Math.floor(index / rowLength)];

  if (recorded.dtype !== "float32") {
    let different = 0;
    let compared = 0;
    for (let index = 0; index < count; index += 1) {
      if (!isCompared(index)) continue;
      compared += 1;
      if (Number(recorded.data[index]) !== Number(produced.data[index])) different += 1;
    }
    const share = compared === 0 ? 0 : different / compared;
    return { name, relativeError: share, tolerance: 0, ok: different === 0 };
  }
  let largest = 0;
  let difference = 0;
  for (let index = 0; index < count; index += 1) {
    if (!isCompared(index)) continue;
    const value = Number(produced.data[index]);
    if (!Number.isFinite(value)) return fail(`element ${index} is ${value}`);
    largest = Math.max(largest, Math.abs(recorded.data[index]));
    difference = Math.max(difference, Math.abs(value - recorded.data[index]));
  }
  const relativeError = difference === 0 ? 0 : difference / (scale ?? (largest || 1));
  return { name, relativeError, tolerance, ok: relativeError <= tolerance };
};
