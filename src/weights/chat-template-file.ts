import { ModelConfigError } from "../errors.js";
import { type FolderFiles, type JsonObject, readJson } from "./folder-files.js";

/** A template, or a list of named ones of which "default" is meant. */
const templateIn = (settings: JsonObject | undefined, file: string): string | undefined => {
  const value = settings?.chat_template;
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string") return value;
  if (Array.isArray(value)) {
    const named = value.find((entry) => entry?.name === "default");
    if (typeof named?.template === "string") return named.template;
  }
  throw new ModelConfigError(
    `readChatTemplate: chat_template in ${file} must be a text or a list with one named "default", got ${JSON.stringify(value).slice(0, 80)}. Name the template to use with an option, or fix the file.`,
  );
};

/**
 * The chat template of a model folder (Jinja source) from the first of its four places that has one:
 * chat_template.jinja, chat_template.json, processor_config.json, tokenizer_config.json.
 *
 * @throws ModelConfigError where a place holds something else than a template.
 */
export const readChatTemplate = async (files: FolderFiles): Promise<string | undefined> => {
  const text = await files.readText("chat_template.jinja");
  if (text !== undefined) return text;
  for (const name of ["chat_template.json", "processor_config.json", "tokenizer_config.json"]) {
    const template = templateIn(await readJson(files, name), files.locate(name));
    if (template !== undefined) return template;
  }
  return undefined;
};
