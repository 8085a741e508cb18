import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { DownloadError } from "../errors.js";
import { writeFully } from "./atomic-file.node.js";
import { isPresent } from "./folder-files.node.js";

/** What `@huggingface/hub` needs to reach one commit of a repository. */
export type BlobSource = {
  readonly repo: { readonly type: "model"; readonly name: string };
  readonly revision: string;
  readonly hubUrl?: string;
  readonly accessToken?: string;
  readonly fetch: typeof fetch;
};

/** The name of a file's blob in the cache: SHA-256 of large files, the git hash of small ones. */
const blobName = ({ lfs, oid, path }: ListFileEntry): string => {
  const name = lfs?.oid ?? oid ?? "";
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name))
    throw new DownloadError(
      `fetchBlob: the hub must list a hash for ${path}, got ${JSON.stringify(name)}. Check HF_ENDPOINT.`,
    );
  return name;
};

/** Git hashes a small header in front of the content. */
const startHash = (name: string, size: number): Hash =>
  name.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);

const sizeOf = (path: string): Promise<number> =>
  stat(path).then(
    ({ size }) => size,
    () => 0,
  );

/** Links as the Python tools do; where the system refuses links, the snapshot holds a copy. */
const linkBlob = async (blob: string, pointer: string): Promise<void> => {
  await mkdir(dirname(pointer), { recursive: true });
  await rm(pointer, { force: true });
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch {
    await copyFile(blob, pointer);
  }
};

/** Reads `stream` chunk by chunk; the hub library fails some streams with a bare string. */
const readChunks = async function* (
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
};

const receive = async (
  source: BlobSource,
  entry: ListFileEntry,
  incomplete: string,
  report: (receivedBytes: number) => void,
): Promise<void> => {
  const { downloadFile } = await import("@huggingface/hub");
  const name = blobName(entry);
  const hash = startHash(name, entry.size);
  let received = await sizeOf(incomplete);
  // A part that is too long belongs to something else.
  if (received > entry.size) {
    await rm(incomplete);
    received = 0;
  }
  if (received > 0) for await (const chunk of createReadStream(incomplete)) hash.update(chunk);
  report(received);
  const file = await open(incomplete, "a");
  try {
    if (received < entry.size) {
      const whole = await downloadFile({ ...source, path: entry.path });
      if (!whole)
        throw new DownloadError(
          `fetchBlob: the hub must hold ${entry.path}, got nothing although it is listed. Run it again.`,
        );
      const rest = received > 0 ? whole.slice(received, entry.size) : whole;
      for await (const chunk of readChunks(rest.stream())) {
        received += chunk.byteLength;
        if (received > entry.size) break;
        hash.update(chunk);
        await writeFully(file, chunk);
        report(received);
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
  if (received < entry.size)
    throw new DownloadError(
      `fetchBlob: ${entry.path} must have ${entry.size} bytes, got ${received} before the connection ended. What has arrived is kept; run it again to continue.`,
    );
  if (received > entry.size || hash.digest("hex") !== name) {
    await rm(incomplete, { force: true });
    throw new DownloadError(
      `fetchBlob: ${entry.path} must have the hash ${name}, got other content. It was deleted; run it again to fetch it anew.`,
    );
  }
};

/**
 * Puts one file into the cache and its link into the snapshot, unless they are there. A part left by an earlier try
 * (`<blob>.incomplete`, as the Python tools name it) is continued; content is checked before it gets its name.
 *
 * @throws DownloadError where bytes are missing or wrong; what the hub library throws for refused requests.
 */
export const fetchBlob = async (
  source: BlobSource,
  entry: ListFileEntry,
  repositoryFolder: string,
  snapshot: string,
  report: (receivedBytes: number) => void,
): Promise<void> => {
  const pointer = join(snapshot, entry.path);
  if (await isPresent(pointer)) return report(entry.size);
  const blob = join(repositoryFolder, "blobs", blobName(entry));
  if (!(await isPresent(blob))) {
    await mkdir(dirname(blob), { recursive: true });
    const incomplete = `${blob}.incomplete`;
    await receive(source, entry, incomplete, report);
    await rename(incomplete, blob);
  }
  report(entry.size);
  await linkBlob(blob, pointer);
};
