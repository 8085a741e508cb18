/** Fetches the files of a model repository into the Hugging Face cache. */
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { DownloadError, ModelNotFoundError, OptionsError, SaccadeError } from "../errors.js";
import { fetchBlob } from "./hub-blob.node.js";
import { type HubEnvironment, isCommit, repositoryFolder } from "./hub-cache.node.js";
import { readJsonIfPresent } from "./json-file.node.js";
import { indexFileName, legacyWayOut, parseWeightMap, singleFileName } from "./weight-files.js";

/**
 * How far a download is, first over the settings files, then over the weights. Bytes that were already in the cache
 * count as received.
 */
export type DownloadProgress = {
  readonly file: string;
  readonly fileIndex: number;
  readonly numFiles: number;
  readonly receivedBytes: number;
  readonly totalBytes: number;
};

export type DownloadOptions = {
  readonly revision: string;
  readonly cacheDir: string;
  readonly onProgress?: (progress: DownloadProgress) => void;
  readonly signal?: AbortSignal;
  readonly environment: HubEnvironment;
};

const settings = new Set([
  "config.json",
  "generation_config.json",
  "preprocessor_config.json",
  "processor_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "chat_template.jinja",
  "chat_template.json",
  "vision_tower/config.json",
  "vision_tower/preprocessor_config.json",
  indexFileName,
]);

type Connection = {
  repo: { type: "model"; name: string };
  revision: string;
  hubUrl?: string;
  accessToken?: string;
  fetch: typeof fetch;
};

const connect = (
  repository: string,
  { environment, revision, signal }: DownloadOptions,
): Connection => {
  const { HF_TOKEN, HF_ENDPOINT } = environment;
  if (HF_TOKEN && !HF_TOKEN.startsWith("hf_"))
    throw new OptionsError(
      'connect: HF_TOKEN must start with "hf_", got something else. Copy the token from the settings page of the hub, or unset the variable.',
    );
  return {
    repo: { type: "model", name: repository },
    revision,
    ...(HF_ENDPOINT && { hubUrl: HF_ENDPOINT.replace(/\/+$/, "") }),
    ...(HF_TOKEN && { accessToken: HF_TOKEN }),
    fetch: (input, init) => fetch(input, { ...init, ...(signal && { signal }) }),
  };
};

/** Turns what the hub library throws into our errors; an abort stays an abort. */
const translate = (error: unknown, repository: string, signal?: AbortSignal): unknown => {
  if (signal?.aborted) return signal.reason;
  if (error instanceof SaccadeError) return error;
  const status =
    error instanceof Error && "statusCode" in error ? Number(error.statusCode) : undefined;
  if (status === 401 || status === 403)
    return new ModelNotFoundError(
      `openModelFolder: the repository must exist and be open to you, got status ${status} for ${repository}. Check the name; for a private or gated one accept its terms and set HF_TOKEN.`,
      { cause: error },
    );
  if (status === 404)
    return new ModelNotFoundError(
      `openModelFolder: the name must be a folder, or a repository and revision on the hub, got ${repository}, which is neither. Check the spelling and the revision.`,
      { cause: error },
    );
  return new DownloadError(
    `openModelFolder: the download must complete, got ${error instanceof Error ? error.message : String(error)} for ${repository}. What has arrived is kept; run it again to continue.`,
    { cause: error },
  );
};

const describe = async (
  connection: Connection,
): Promise<{ commit: string; files: Map<string, ListFileEntry> }> => {
  const { listFiles, modelInfo } = await import("@huggingface/hub");
  const { repo, ...access } = connection;
  const info = await modelInfo({ ...access, name: repo.name, additionalFields: ["sha"] });
  if (!isCommit(info.sha))
    throw new DownloadError(
      `openModelFolder: the hub must answer with a commit hash, got ${JSON.stringify(info.sha)}. Check HF_ENDPOINT.`,
    );
  const files = new Map<string, ListFileEntry>();
  for await (const entry of listFiles({ ...connection, revision: info.sha, recursive: true }))
    if (entry.type === "file") files.set(entry.path, entry);
  return { commit: info.sha, files };
};

const checkHasModel = (files: ReadonlyMap<string, ListFileEntry>, repository: string): void => {
  if (!files.has("config.json"))
    throw new ModelNotFoundError(
      `openModelFolder: the repository must hold config.json, got none in ${repository}. Choose the repository of a whole model.`,
    );
  if (files.has(singleFileName) || files.has(indexFileName)) return;
  const legacy = [...files.keys()].find((path) => /^[^/]+\.(bin|pth|pt)$/.test(path));
  throw new ModelNotFoundError(
    legacy
      ? `openModelFolder: the weights must be safetensors, got only ${legacy} in ${repository}. ${legacyWayOut}`
      : `openModelFolder: the repository must hold ${singleFileName} or ${indexFileName}, got neither in ${repository}. Choose the repository of a whole model.`,
  );
};

/**
 * Downloads what is needed of `repository` and not yet cached, and returns the snapshot folder. Cut-off files are
 * continued where they stopped, and every file is checked against the hash that the hub lists.
 *
 * @throws ModelNotFoundError, DownloadError; the signal's reason when aborted.
 */
export const downloadModel = async (
  repository: string,
  options: DownloadOptions,
): Promise<string> => {
  const { cacheDir, onProgress, revision, signal } = options;
  signal?.throwIfAborted();
  const connection = connect(repository, options);
  const folder = repositoryFolder(cacheDir, repository);
  try {
    const { commit, files } = await describe(connection);
    checkHasModel(files, repository);
    const snapshot = join(folder, "snapshots", commit);

    const fetchAll = async (paths: readonly string[]): Promise<void> => {
      const wanted = paths.map((path) => {
        const entry = files.get(path);
        if (entry) return entry;
        throw new ModelNotFoundError(
          `openModelFolder: every shard that the index lists must be in the repository, got none named ${path} in ${repository}. Tell its owner, or choose another revision.`,
        );
      });
      const totalBytes = wanted.reduce((sum, { size }) => sum + size, 0);
      let before = 0;
      for (const [fileIndex, entry] of wanted.entries()) {
        const report = (bytes: number) =>
          onProgress?.({
            file: entry.path,
            fileIndex,
            numFiles: wanted.length,
            receivedBytes: before + bytes,
            totalBytes,
          });
        await fetchBlob({ ...connection, revision: commit }, entry, folder, snapshot, report);
        before += entry.size;
      }
    };

    // Settings first: they are small, and the index says which shards exist.
    const hasSingle = files.has(singleFileName);
    const needed = [...files.keys()].filter(
      (path) => settings.has(path) && !(hasSingle && path === indexFileName),
    );
    await fetchAll(needed);
    const indexPath = join(snapshot, indexFileName);
    const indexJson = hasSingle ? undefined : await readJsonIfPresent(indexPath);
    await fetchAll(
      indexJson ? [...new Set(parseWeightMap(indexJson, indexPath).values())] : [singleFileName],
    );

    // The revision is recorded last, so that it never points to a snapshot that was not finished once.
    if (revision !== commit) {
      const ref = join(folder, "refs", revision);
      await mkdir(dirname(ref), { recursive: true });
      await writeFile(ref, commit);
    }
    return snapshot;
  } catch (error) {
    throw translate(error, repository, signal);
  }
};
