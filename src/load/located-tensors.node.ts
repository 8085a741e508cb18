import { realpath } from "node:fs/promises";
import { parse, relative } from "node:path";
import type { StoredTensor } from "../weights/folder-files.js";
import type { LocatedTensor } from "./parameter-source.js";

/**
 * A folder's tensors with each file given as the Node engine looks for it: relative to the root of
 * the file system, links resolved (the hub's cache is made of links).
 */
export const locateForEngine = async (
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<Map<string, LocatedTensor>> => {
  const root = parse(process.cwd()).root;
  const resolved = new Map<string, string>();
  const located = new Map<string, LocatedTensor>();
  for (const [name, { file, entry }] of tensors) {
    let path = resolved.get(file);
    if (path === undefined) {
      path = relative(root, await realpath(file));
      resolved.set(file, path);
    }
    located.set(name, { file: path, entry });
  }
  return located;
};
