/**
 * The Hugging Face cache folder, shared with the Python tools:
 * `models--org--name/{refs/<revision>, blobs/<etag>, snapshots/<commit>/<file> -> ../../blobs/<etag>}`
 * (https://huggingface.co/docs/huggingface_hub/guides/manage-cache).
 */
import { homedir } from "node:os";
import { join } from "node:path";
import { isPresent } from "./folder-files.node.js";
import { readJsonIfPresent, readTextIfPresent } from "./json-file.node.js";
import { indexFileName, parseWeightMap, singleFileName } from "./weight-files.js";

/** The settings of the environment that the Hugging Face tools share. */
export type HubEnvironment = Readonly<Record<string, string | undefined>>;

/** The cache folder: HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else below ~/.cache. */
export const hubCacheFolder = (environment: HubEnvironment = process.env): string => {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = environment;
  if (HF_HUB_CACHE) return HF_HUB_CACHE;
  if (HUGGINGFACE_HUB_CACHE) return HUGGINGFACE_HUB_CACHE;
  if (HF_HOME) return join(HF_HOME, "hub");
  return join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface", "hub");
};

/** Whether HF_HUB_OFFLINE forbids connections; the values the Python tools take as true. */
export const isOffline = (environment: HubEnvironment = process.env): boolean =>
  /^(1|on|yes|true)$/i.test(environment.HF_HUB_OFFLINE ?? "");

/** The folder of one repository in the cache. */
export const repositoryFolder = (cacheDir: string, repository: string): string =>
  join(cacheDir, ["models", ...repository.split("/")].join("--"));

/** A full commit hash names a snapshot by itself. */
export const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision);

/** The folder of the cached snapshot that `revision` points to; undefined where the cache knows none. */
export const findSnapshot = async (
  cacheDir: string,
  repository: string,
  revision: string,
): Promise<string | undefined> => {
  const folder = repositoryFolder(cacheDir, repository);
  const ref = isCommit(revision)
    ? revision
    : (await readTextIfPresent(join(folder, "refs", revision)))?.trim();
  if (ref === undefined || !isCommit(ref)) return undefined;
  const snapshot = join(folder, "snapshots", ref);
  return (await isPresent(snapshot)) ? snapshot : undefined;
};

/** Whether a snapshot holds a config and all of its weights; with `tokenizer`, a tokenizer as well. */
export const isComplete = async (snapshot: string, tokenizer: boolean): Promise<boolean> => {
  if (!(await isPresent(join(snapshot, "config.json")))) return false;
  if (tokenizer && !(await isPresent(join(snapshot, "tokenizer.json")))) return false;
  if (await isPresent(join(snapshot, singleFileName))) return true;
  const indexJson = await readJsonIfPresent(join(snapshot, indexFileName));
  if (!indexJson) return false;
  const shards = new Set(parseWeightMap(indexJson, join(snapshot, indexFileName)).values());
  for (const shard of shards) if (!(await isPresent(join(snapshot, shard)))) return false;
  return true;
};
