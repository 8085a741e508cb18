/** The files of a model folder, wherever they are: on disk, behind an address, chosen by a user. */
import { ModelConfigError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import type { SafetensorsHeader, TensorEntry } from "./safetensors.js";

/** The content of a JSON settings file. */
export type JsonObject = { readonly [key: string]: unknown };

/** A tensor with the file it lies in: a path on disk, else the name that `FolderFiles` knows. */
export type StoredTensor = { readonly file: string; readonly entry: TensorEntry };

export type FolderFiles = {
  /** Path or address, for messages and for `ModelFolder.path`. */
  readonly path: string;
  /** What tensors in the file `name` have as their `file`. */
  locate(name: string): string;
  isPresent(name: string): Promise<boolean>;
  /** The text of a file; undefined where there is none. */
  readText(name: string): Promise<string | undefined>;
  /** Reads and checks the header of a safetensors file that is present. */
  openWeights(name: string): Promise<SafetensorsHeader>;
  readTensor(stored: StoredTensor): Promise<TensorData>;
  /** Names of all files, where they can be listed; they help to say what is wrong. */
  list(): Promise<readonly string[]>;
  /** The files below a folder in this one. */
  subfolder(name: string): FolderFiles;
};

/**
 * The object in JSON `text`. `file` names the origin in messages.
 *
 * @throws ModelConfigError where it is something else.
 */
export const parseJsonObject = (text: string, file: string): JsonObject => {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw new ModelConfigError(
      `parseJsonObject: ${file} must hold JSON, got ${JSON.stringify(text.slice(0, 60))}. Fetch or write the file again.`,
      { cause },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ModelConfigError(
      `parseJsonObject: ${file} must hold a JSON object, got ${JSON.stringify(value).slice(0, 60)}. Fetch or write the file again.`,
    );
  return { ...value };
};

/**
 * The object in the JSON file `name`; undefined where there is no such file.
 *
 * @throws ModelConfigError where it is unreadable or holds something else than a JSON object.
 */
export const readJson = async (
  files: FolderFiles,
  name: string,
): Promise<JsonObject | undefined> => {
  const text = await files.readText(name);
  return text === undefined ? undefined : parseJsonObject(text, files.locate(name));
};
