import { SafetensorsError } from "../errors.js";
import { type DType, dtypeBytes, type TensorData } from "../tensor-data.js";

/** The little-endian bytes of a tensor's elements: a view, not a copy. */
export const bytesOfTensor = ({ data }: TensorData): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/**
 * The tensor whose little-endian elements are `bytes`: a view where `bytes` is aligned, else a copy.
 *
 * @throws SafetensorsError where a boolean is neither 0 nor 1. `file` names the origin in the message.
 */
export const tensorFromBytes = (
  { name, dtype, shape }: { name: string; dtype: DType; shape: readonly number[] },
  bytes: Uint8Array,
  file: string,
): TensorData => {
  const aligned = bytes.byteOffset % dtypeBytes[dtype] === 0 ? bytes : bytes.slice();
  const { buffer, byteOffset, byteLength } = aligned;
  const length = byteLength / dtypeBytes[dtype];
  switch (dtype) {
    case "float32":
      return { dtype, shape, data: new Float32Array(buffer, byteOffset, length) };
    case "float16":
    case "bfloat16":
      return { dtype, shape, data: new Uint16Array(buffer, byteOffset, length) };
    case "int64":
      return { dtype, shape, data: new BigInt64Array(buffer, byteOffset, length) };
    case "int32":
      return { dtype, shape, data: new Int32Array(buffer, byteOffset, length) };
    case "uint8":
      return { dtype, shape, data: aligned };
    case "bool": {
      const wrong = aligned.find((value) => value > 1);
      if (wrong !== undefined)
        throw new SafetensorsError(
          `tensorFromBytes: ${file}: booleans of tensor "${name}" must be 0 or 1, got ${wrong}. The file is corrupt; fetch or write it again.`,
        );
      return { dtype, shape, data: aligned };
    }
  }
};
