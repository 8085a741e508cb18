import { type FileHandle, open } from "node:fs/promises";
import { ModelNotFoundError, SafetensorsError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { writeFileAtomically, writeFully } from "./atomic-file.node.js";
import {
  lengthBytes,
  parseHeaderLength,
  parseSafetensorsHeader,
  type SafetensorsHeader,
  type TensorEntry,
} from "./safetensors.js";
import { plannedBytes, planSafetensors, type TensorSpec } from "./safetensors-encoding.js";
import { tensorFromBytes } from "./tensor-bytes.js";

/** A safetensors file on disk. Only its header is in memory; no file stays open between calls. */
export type SafetensorsFile = SafetensorsHeader & {
  readonly path: string;
  /** Reads one tensor. @throws SafetensorsError where the name is absent or the file has shrunk. */
  readonly readTensor: (name: string) => Promise<TensorData>;
};

/** One read call may not exceed 2 GiB, and smaller ones let the process breathe. */
const readChunkBytes = 1 << 26;

const readFully = async (
  file: FileHandle,
  path: string,
  position: number,
  byteLength: number,
): Promise<Uint8Array> => {
  const bytes = new Uint8Array(byteLength);
  let done = 0;
  while (done < byteLength) {
    const length = Math.min(readChunkBytes, byteLength - done);
    const { bytesRead } = await file.read(bytes, done, length, position + done);
    if (bytesRead === 0)
      throw new SafetensorsError(
        `readFully: ${path} must hold ${byteLength} bytes at ${position}, got ${done}. The file was truncated while in use; fetch it again.`,
      );
    done += bytesRead;
  }
  return bytes;
};

const withFile = async <T>(path: string, use: (file: FileHandle) => Promise<T>): Promise<T> => {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    throw new ModelNotFoundError(
      `openSafetensors: the file must exist and be readable, got ${path}. Check the path and its permissions.`,
      { cause },
    );
  }
  try {
    return await use(file);
  } finally {
    await file.close();
  }
};

/**
 * Reads the elements of one tensor of the file at `path`, in bounded reads.
 *
 * @throws ModelNotFoundError where the file is gone; SafetensorsError where it is too short or holds bad booleans.
 */
export const readTensor = (path: string, entry: TensorEntry): Promise<TensorData> =>
  withFile(path, async (file) =>
    tensorFromBytes(entry, await readFully(file, path, entry.byteOffset, entry.byteLength), path),
  );

/**
 * Opens a safetensors file: reads and checks its header only.
 *
 * @throws ModelNotFoundError where there is no such file; SafetensorsError where it departs from the format.
 */
export const openSafetensors = async (path: string): Promise<SafetensorsFile> => {
  const header = await withFile(path, async (file) => {
    const stats = await file.stat();
    if (!stats.isFile())
      throw new ModelNotFoundError(
        `openSafetensors: the path must name a file, got the folder ${path}. Name the .safetensors file in it.`,
      );
    const start = await readFully(file, path, 0, Math.min(lengthBytes, stats.size));
    const headerBytes = parseHeaderLength(start, stats.size, path);
    const bytes = await readFully(file, path, lengthBytes, headerBytes);
    return parseSafetensorsHeader(bytes, stats.size, path);
  });
  return {
    ...header,
    path,
    readTensor: async (name) => {
      const entry = header.tensors.get(name);
      if (!entry)
        throw new SafetensorsError(
          `readTensor: ${path} must hold the tensor, got the unknown name "${name}". Choose one of its ${header.tensors.size} tensors.`,
        );
      return readTensor(path, entry);
    },
  };
};

/**
 * Writes a safetensors file tensor by tensor, holding one at a time: `read` is called in file order. Atomic: a failed
 * write leaves neither a partial file nor a changed old one.
 *
 * @throws what `planSafetensors` and `read` throw; ShapeError where `read` returns another tensor than `specs` says.
 */
export const writeSafetensors = async (
  path: string,
  specs: readonly TensorSpec[],
  read: (name: string) => TensorData | Promise<TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> => {
  const { header, entries } = planSafetensors(specs, metadata);
  await writeFileAtomically(path, async (file) => {
    await writeFully(file, header);
    for (const entry of entries)
      await writeFully(file, plannedBytes(entry, await read(entry.name)));
  });
};

/** Writes tensors held in memory; atomic as `writeSafetensors`. */
export const saveSafetensors = (
  path: string,
  tensors: ReadonlyMap<string, TensorData>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> => {
  const specs = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const read = (name: string): TensorData => {
    const tensor = tensors.get(name);
    if (!tensor)
      throw new SafetensorsError(
        `saveSafetensors: the map must keep its tensors while it is written, got "${name}" removed. Do not change it meanwhile.`,
      );
    return tensor;
  };
  return writeSafetensors(path, specs, read, metadata);
};
