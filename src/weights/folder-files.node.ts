import { access, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { FolderFiles } from "./folder-files.js";
import { readTextIfPresent } from "./json-file.node.js";
import { openSafetensors, readTensor } from "./safetensors-file.node.js";

/** Whether `path` exists. */
export const isPresent = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The files of a folder on disk. Nothing stays open; tensors have the path of their file. */
export const filesOnDisk = (path: string): FolderFiles => ({
  path,
  locate: (name) => join(path, name),
  isPresent: (name) => isPresent(join(path, name)),
  readText: (name) => readTextIfPresent(join(path, name)),
  openWeights: (name) => openSafetensors(join(path, name)),
  readTensor: ({ file, entry }) => readTensor(file, entry),
  list: () => readdir(path),
  subfolder: (name) => filesOnDisk(join(path, name)),
});
