/**
 * The safetensors file format, read side: 8 bytes little-endian header length, a JSON header, then the tensors'
 * bytes back to back (https://github.com/huggingface/safetensors, README "Format").
 */
import { SafetensorsError } from "../errors.js";
import { type DType, dtypeBytes, elementCount, type TensorData } from "../tensor-data.js";
import { findDuplicateKey } from "./json-keys.js";
import { tensorFromBytes } from "./tensor-bytes.js";

/** Where one tensor lies: everything needed to read or map it. */
export type TensorEntry = {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Counted from the start of the file. */
  readonly byteOffset: number;
  readonly byteLength: number;
};

/** What a safetensors header says; `tensors` in the order of their bytes. */
export type SafetensorsHeader = {
  readonly metadata: Readonly<Record<string, string>>;
  readonly tensors: ReadonlyMap<string, TensorEntry>;
};

/** The official library refuses longer headers too: a corrupt length must not cause a huge allocation. */
export const maxHeaderBytes = 100_000_000;
/** Bytes in front of the header that hold its length. */
export const lengthBytes = 8;

/** Our element types by their names in the file. */
export const dtypeOfTag: ReadonlyMap<string, DType> = new Map([
  ["F32", "float32"],
  ["F16", "float16"],
  ["BF16", "bfloat16"],
  ["I64", "int64"],
  ["I32", "int32"],
  ["U8", "uint8"],
  ["BOOL", "bool"],
]);
/** Element types the format knows and saccade has no array for. */
const foreignTags = new Set(
  "F64 I16 I8 U16 U32 U64 C64 F4 F6_E2M3 F6_E3M2 F8_E5M2 F8_E4M3 F8_E8M0".split(" "),
);

/**
 * Header length in bytes from the first 8 bytes of a file of `fileBytes` bytes.
 *
 * @throws SafetensorsError where the file is too short or the length cannot be true.
 */
export const parseHeaderLength = (start: Uint8Array, fileBytes: number, file: string): number => {
  if (fileBytes < lengthBytes + 2 || start.byteLength < lengthBytes)
    throw new SafetensorsError(
      `parseHeaderLength: ${file} must hold at least ${lengthBytes + 2} bytes, got ${fileBytes}. It is truncated or no safetensors file; fetch it again.`,
    );
  const view = new DataView(start.buffer, start.byteOffset, lengthBytes);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(maxHeaderBytes))
    throw new SafetensorsError(
      `parseHeaderLength: ${file}: the header must be at most ${maxHeaderBytes} bytes, got ${length}. This is no safetensors file (a pickle, an HTML page or a Git LFS pointer?); fetch the real one.`,
    );
  if (length < 2n || Number(length) + lengthBytes > fileBytes)
    throw new SafetensorsError(
      `parseHeaderLength: ${file}: the header must lie inside the file, got ${length} header bytes in ${fileBytes} file bytes. The file is truncated or corrupt; fetch it again.`,
    );
  return Number(length);
};

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;

const parseJsonObject = (bytes: Uint8Array, file: string): Record<string, unknown> => {
  const corrupt = (what: string, cause?: unknown) =>
    new SafetensorsError(
      `parseSafetensorsHeader: ${file}: the header must be ${what}. The file is corrupt; fetch or write it again.`,
      { cause },
    );
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw corrupt("UTF-8, got other bytes", cause);
  }
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (cause) {
    throw corrupt(`JSON, got ${JSON.stringify(text.slice(0, 40))}`, cause);
  }
  if (!isRecord(header)) throw corrupt(`a JSON object, got ${JSON.stringify(text.slice(0, 40))}`);
  const duplicate = findDuplicateKey(text);
  if (duplicate !== undefined)
    throw corrupt(`free of duplicate keys, got ${JSON.stringify(duplicate)} twice`);
  return header;
};

const parseMetadata = (value: unknown, file: string): Record<string, string> => {
  if (value === undefined) return {};
  const metadata = new Map<string, string>();
  if (!isRecord(value))
    throw new SafetensorsError(
      `parseSafetensorsHeader: ${file}: __metadata__ must map strings to strings, got ${JSON.stringify(value)}. Write the file again with string values.`,
    );
  for (const [key, entry] of Object.entries(value)) {
    if (typeof entry !== "string")
      throw new SafetensorsError(
        `parseSafetensorsHeader: ${file}: __metadata__.${key} must be a string, got ${JSON.stringify(entry)}. Write the file again with string values.`,
      );
    metadata.set(key, entry);
  }
  return Object.fromEntries(metadata);
};

const parseEntry = (name: string, value: unknown, dataStart: number, file: string): TensorEntry => {
  const bad = (rule: string, got: unknown, wayOut: string) =>
    new SafetensorsError(
      `parseSafetensorsHeader: ${file}: tensor "${name}" ${rule}, got ${JSON.stringify(got)}. ${wayOut}`,
    );
  const corrupt = "The file is corrupt; fetch or write it again.";
  if (!isRecord(value)) throw bad("must be described by an object", value, corrupt);
  const { dtype: tag, shape, data_offsets: offsets } = value;
  const dtype = typeof tag === "string" ? dtypeOfTag.get(tag) : undefined;
  if (dtype === undefined) {
    const known = [...dtypeOfTag.keys()].join(", ");
    throw typeof tag === "string" && foreignTags.has(tag)
      ? bad(
          `must have one of the supported types ${known}`,
          tag,
          "Convert the tensor to F32 or F16 first.",
        )
      : bad(`must have one of the types ${known}`, tag, corrupt);
  }
  if (!Array.isArray(shape) || !shape.every(isCount))
    throw bad("must have a shape of non-negative integers", shape, corrupt);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw bad("must have two non-negative data_offsets", offsets, corrupt);
  const [begin, end] = [Number(offsets[0]), Number(offsets[1])];
  const byteLength = elementCount(shape) * dtypeBytes[dtype];
  if (!Number.isSafeInteger(byteLength) || end - begin !== byteLength)
    throw bad(
      `of shape [${shape}] and type ${String(tag)} must span ${byteLength} bytes`,
      offsets,
      corrupt,
    );
  return { name, dtype, shape: shape.map(Number), byteOffset: dataStart + begin, byteLength };
};

/**
 * Checks and reads a header. `header`: its bytes without the 8 length bytes; `fileBytes`: size of the whole file;
 * `file`: its name, for messages. The format allows neither holes nor overlaps, so the entries tile the rest of the
 * file exactly.
 *
 * @throws SafetensorsError for every departure from the format, naming the file and the tensor.
 */
export const parseSafetensorsHeader = (
  header: Uint8Array,
  fileBytes: number,
  file: string,
): SafetensorsHeader => {
  const { __metadata__, ...described } = parseJsonObject(header, file);
  const metadata = parseMetadata(__metadata__, file);
  const dataStart = lengthBytes + header.byteLength;
  const entries = Object.entries(described)
    .map(([name, value]) => parseEntry(name, value, dataStart, file))
    .sort((a, b) => a.byteOffset - b.byteOffset || a.byteLength - b.byteLength);

  let expectedOffset = dataStart;
  for (const { name, byteOffset, byteLength } of entries) {
    if (byteOffset !== expectedOffset)
      throw new SafetensorsError(
        `parseSafetensorsHeader: ${file}: tensor "${name}" must start where the one before it ends, at data offset ${expectedOffset - dataStart}, got ${byteOffset - dataStart} (${byteOffset < expectedOffset ? "an overlap" : "a hole"}). The file is corrupt; fetch or write it again.`,
      );
    if (byteOffset + byteLength > fileBytes)
      throw new SafetensorsError(
        `parseSafetensorsHeader: ${file}: tensor "${name}" must end inside the file of ${fileBytes} bytes, got its end at ${byteOffset + byteLength}. The file is truncated; fetch it again.`,
      );
    expectedOffset += byteLength;
  }
  if (expectedOffset !== fileBytes)
    throw new SafetensorsError(
      `parseSafetensorsHeader: ${file} must end after its last tensor, at byte ${expectedOffset}, got ${fileBytes} bytes. The file is corrupt; fetch or write it again.`,
    );
  return { metadata, tensors: new Map(entries.map((entry) => [entry.name, entry])) };
};

/**
 * Reads a whole safetensors file held in memory. Tensors are views of `bytes` where alignment allows, else copies.
 *
 * @throws SafetensorsError as `parseSafetensorsHeader`.
 */
export const parseSafetensors = (
  bytes: Uint8Array,
  file = "safetensors bytes",
): { metadata: Readonly<Record<string, string>>; tensors: Map<string, TensorData> } => {
  const headerBytes = parseHeaderLength(bytes, bytes.byteLength, file);
  const header = bytes.subarray(lengthBytes, lengthBytes + headerBytes);
  const { metadata, tensors } = parseSafetensorsHeader(header, bytes.byteLength, file);
  const read = ({ byteOffset, byteLength, ...entry }: TensorEntry) =>
    tensorFromBytes(entry, bytes.subarray(byteOffset, byteOffset + byteLength), file);
  return {
    metadata,
    tensors: new Map([...tensors.values()].map((entry) => [entry.name, read(entry)])),
  };
};
