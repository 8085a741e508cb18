import { readFile } from "node:fs/promises";
import { ModelConfigError } from "../errors.js";

/** The content of a JSON settings file. */
export type JsonObject = { readonly [key: string]: unknown };

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
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ""));
  } catch (cause) {
    throw new ModelConfigError(
      `readJsonIfPresent: ${path} must hold JSON, got ${JSON.stringify(text.slice(0, 60))}. Fetch or write the file again.`,
      { cause },
    );
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ModelConfigError(
      `readJsonIfPresent: ${path} must hold a JSON object, got ${JSON.stringify(value).slice(0, 60)}. Fetch or write the file again.`,
    );
  return { ...value };
};
