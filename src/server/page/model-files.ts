/** Models whose files a page may fetch, to answer in the browser. */
import { readdir, realpath } from "node:fs/promises";
import { isAbsolute, join, relative, sep } from "node:path";
import { describeFile, type SentFile } from "./file-response.js";

/** What a model is made of; whatever else lies in its folder is not sent. */
const modelFile = /\.(json|safetensors|jinja)$/;

/** Where a page finds a model. */
export type SharedModel = {
  /** Path of its folder, with a slash at the end. */
  readonly files: string;
  /** Bytes of all its files. */
  readonly bytes: number;
};

export type ModelFiles = {
  /** By model name. */
  readonly shared: ReadonlyMap<string, SharedModel>;
  /** By decoded path. */
  readonly files: ReadonlyMap<string, SentFile>;
};

/** Paths of all model files below a folder, relative to it. Links that lead out of it are left out. */
const listModelFiles = async (folder: string): Promise<string[]> => {
  const root = await realpath(folder);
  const found: string[] = [];
  for (const name of await readdir(root, { recursive: true })) {
    if (!modelFile.test(name)) continue;
    const real = await realpath(join(root, name)).catch(() => undefined);
    if (real === undefined) continue;
    const inside = relative(root, real);
    if (!isAbsolute(inside) && !inside.startsWith("..")) found.push(name);
  }
  return found;
};

/** Lists the files of models by name and folder. What is not listed now is never sent. */
export const shareModels = async (
  models: Iterable<readonly [name: string, folder: string]>,
): Promise<ModelFiles> => {
  const shared = new Map<string, SharedModel>();
  const files = new Map<string, SentFile>();
  for (const [name, folder] of models) {
    let bytes = 0;
    for (const file of await listModelFiles(folder)) {
      const described = await describeFile(join(folder, file), {
        "cache-control": "private, no-cache",
        "cross-origin-resource-policy": "same-origin",
      });
      files.set(`/models/${name}/${file.split(sep).join("/")}`, described);
      bytes += described.bytes;
    }
    shared.set(name, { files: `/models/${encodeURI(name)}/`, bytes });
  }
  return { shared, files };
};
