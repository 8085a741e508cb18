import { float32, type TensorData } from "../tensor-data.js";
import { numbersOf } from "./recorded.js";

/** Part `index` of the first side, the side dropped. */
export const rowOf = (tensor: TensorData, index: number): TensorData => {
  const [, ...shape] = tensor.shape;
  const length = shape.reduce((count, side) => count * side, 1);
  return {
    ...tensor,
    shape,
    data: tensor.data.slice(index * length, (index + 1) * length),
  } as TensorData;
};

/** A batch of clips [B, frames, ...] as one batch of images a frame. */
export const splitFrames = (video: TensorData): TensorData[] => {
  const [batch, numFrames] = video.shape;
  return Array.from({ length: numFrames }, (_, frame) =>
    stack(
      Array.from({ length: batch }, (_, sample) => {
        const image = rowOf(rowOf(video, sample), frame);
        return { ...image, shape: [1, ...image.shape] } as TensorData;
      }),
    ),
  );
};

/** Tensors joined along their first side. */
export const stack = (tensors: readonly TensorData[]): TensorData => {
  const [first] = tensors;
  const rows = tensors.reduce((sum, tensor) => sum + tensor.shape[0], 0);
  return float32(
    [rows, ...first.shape.slice(1)],
    tensors.flatMap((tensor) => numbersOf(tensor)),
  );
};

/** Mean over frames, summed in float32. */
export const meanOf = (frames: readonly TensorData[]): TensorData => {
  const sum = new Float32Array(frames[0].data.length);
  for (const frame of frames) {
    for (let index = 0; index < sum.length; index += 1) sum[index] += Number(frame.data[index]);
  }
  return float32(
    frames[0].shape,
    sum.map((value) => value / frames.length),
  );
};

/** Frames [B, M, D] as [B, frames * M, D], in time order within each sample. */
export const joinFrames = (frames: readonly TensorData[]): TensorData => {
  const [batch, tokens, width] = frames[0].shape;
  const data = Array.from({ length: batch }, (_, sample) =>
    frames.flatMap((frame) => numbersOf(rowOf(frame, sample))),
  );
  return float32([batch, frames.length * tokens, width], data.flat());
};
