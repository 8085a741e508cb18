import { randomUUID } from "node:crypto";
import { type FileHandle, mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/**
 * Writes a file so that readers see the old content or the new one and nothing between: `write` fills a temporary
 * file in the same folder, which is flushed to disk and then renamed. A failed write leaves nothing behind.
 */
export const writeFileAtomically = async (
  path: string,
  write: (file: FileHandle) => Promise<void>,
): Promise<void> => {
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  const temporary = join(folder, `.${basename(path)}.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, "wx");
    try {
      await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncFolder(folder);
};

/** Makes a rename survive a power cut. Systems that cannot open a folder (Windows) order renames themselves. */
export const syncFolder = async (folder: string): Promise<void> => {
  const handle = await open(folder, "r").catch(() => undefined);
  try {
    await handle?.sync().catch(() => undefined);
  } finally {
    await handle?.close();
  }
};

/** Writes all of `bytes` at the file's current position; a single write may stop short of the end. */
export const writeFully = async (file: FileHandle, bytes: Uint8Array): Promise<void> => {
  const chunkBytes = 1 << 26;
  let written = 0;
  while (written < bytes.byteLength) {
    const length = Math.min(chunkBytes, bytes.byteLength - written);
    written += (await file.write(bytes, written, length)).bytesWritten;
  }
};
