/**
 * The safetensors file format, write side. Layout as the official library's (safetensors/src/tensor.rs `prepare`):
 * tensors by type, widest first, then by name; header padded with spaces to 8 bytes, so data is always aligned.
 */
import { SafetensorsError, ShapeError } from "../errors.js";
import { type DType, dtypeBytes, elementCount, type TensorData } from "../tensor-data.js";
import { dtypeOfTag, lengthBytes, maxHeaderBytes, type TensorEntry } from "./safetensors.js";
import { bytesOfTensor } from "./tensor-bytes.js";

/** A tensor to be written: everything but its elements. */
export type TensorSpec = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
};

/** A laid-out file: write `header`, then the tensors' bytes in the order of `entries`. */
export type SafetensorsPlan = {
  /** Length bytes, JSON and padding: the file up to the first tensor. */
  readonly header: Uint8Array;
  /** In file order. */
  readonly entries: readonly TensorEntry[];
  readonly fileBytes: number;
};

const tags = new Map([...dtypeOfTag].map(([tag, dtype]) => [dtype, tag]));
/** Widest alignment first; the library's own order among equals. */
const dtypeOrder: readonly DType[] = [
  "int64",
  "float32",
  "int32",
  "bfloat16",
  "float16",
  "uint8",
  "bool",
];

const checkSpecs = (specs: readonly TensorSpec[]): void => {
  const names = new Set<string>();
  for (const { name, shape } of specs) {
    if (names.has(name) || name === "__metadata__")
      throw new SafetensorsError(
        `planSafetensors: tensor names must be unique and not "__metadata__", got "${name}"${names.has(name) ? " twice" : ""}. Rename one.`,
      );
    names.add(name);
    if (!shape.every((side) => Number.isSafeInteger(side) && side >= 0))
      throw new ShapeError(
        `planSafetensors: the shape of "${name}" must hold non-negative integers, got [${shape}]. Pass the actual shape.`,
      );
  }
};

/**
 * Lays out a file before any tensor exists in memory, so that it can be streamed.
 *
 * @throws SafetensorsError for repeated names or a header over the format's limit; ShapeError for impossible shapes.
 */
export const planSafetensors = (
  specs: readonly TensorSpec[],
  metadata: Readonly<Record<string, string>> = {},
): SafetensorsPlan => {
  checkSpecs(specs);
  const ordered = [...specs].sort(
    (a, b) =>
      dtypeOrder.indexOf(a.dtype) - dtypeOrder.indexOf(b.dtype) || (a.name < b.name ? -1 : 1),
  );
  // Built by hand, because an object would move names that look like integers to the front.
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let dataBytes = 0;
  const placed = ordered.map(({ name, dtype, shape }) => {
    const byteLength = elementCount(shape) * dtypeBytes[dtype];
    const begin = dataBytes;
    dataBytes += byteLength;
    const described = { dtype: tags.get(dtype), shape, data_offsets: [begin, dataBytes] };
    fields.push(`${JSON.stringify(name)}:${JSON.stringify(described)}`);
    return { name, dtype, shape, begin, byteLength };
  });
  const json = new TextEncoder().encode(`{${fields.join(",")}}`);
  const jsonBytes = Math.ceil(json.byteLength / 8) * 8;
  if (jsonBytes > maxHeaderBytes)
    throw new SafetensorsError(
      `planSafetensors: the header must be at most ${maxHeaderBytes} bytes, got ${jsonBytes}. Split the tensors over several files.`,
    );
  const header = new Uint8Array(lengthBytes + jsonBytes).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(jsonBytes), true);
  header.set(json, lengthBytes);
  return {
    header,
    entries: placed.map(({ begin, ...entry }) => ({
      ...entry,
      byteOffset: header.byteLength + begin,
    })),
    fileBytes: header.byteLength + dataBytes,
  };
};

/**
 * The elements to write for a planned tensor, as bytes.
 *
 * @throws ShapeError where the tensor is not the one that was planned.
 */
export const plannedBytes = (entry: TensorEntry, tensor: TensorData | undefined): Uint8Array => {
  const same =
    tensor !== undefined &&
    tensor.dtype === entry.dtype &&
    tensor.shape.length === entry.shape.length &&
    tensor.shape.every((side, axis) => side === entry.shape[axis]) &&
    tensor.data.byteLength === entry.byteLength;
  if (!tensor || !same)
    throw new ShapeError(
      `plannedBytes: tensor "${entry.name}" must be ${entry.dtype} [${entry.shape}] as planned (${entry.byteLength} bytes), got ${tensor ? `${tensor.dtype} [${tensor.shape}] (${tensor.data.byteLength} bytes)` : "nothing"}. Plan with the tensors that are then written.`,
    );
  return bytesOfTensor(tensor);
};

/**
 * The bytes of a safetensors file that holds `tensors`.
 *
 * @throws SafetensorsError and ShapeError as `planSafetensors`; ShapeError where data does not fill its shape.
 */
export const encodeSafetensors = (
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array => {
  const specs = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const { header, entries, fileBytes } = planSafetensors(specs, metadata);
  const bytes = new Uint8Array(fileBytes);
  bytes.set(header);
  for (const entry of entries)
    bytes.set(plannedBytes(entry, tensors.get(entry.name)), entry.byteOffset);
  return bytes;
};
