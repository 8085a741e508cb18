import { readFile } from "node:fs/promises";
import { ModelConfigError } from "../errors.js";
import { type JsonObject, parseJsonObject } from "./folder-files.js";

/** The text of a file; undefined where there is none. */
export const readTextIfPresent = async (path: string): Promise<string | undefined> => {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (
      cause instanceof Error &&
      "code" in cause &&
      (cause.code === "ENOENT" || cause.code === "ENOTDIR")
    )
      return undefined;
    throw new ModelConfigError(
      `readTextIfPresent: the file must be readable, got ${path}. Check its permissions.`,
      { cause },
    );
  }
};

/**
 * The object in a JSON file; undefined where there is no file.
 *
 * @throws ModelConfigError where it is unreadable or holds something else than a JSON object.
 */
export const readJsonIfPresent = async (path: string): Promise<JsonObject | undefined> => {
  const text = await readTextIfPresent(path);
  if (text === undefined) return undefined;
  return parseJsonObject(text, path);
};
