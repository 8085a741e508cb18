/** Opens datasets by the name of their file, as recipes list them. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { DatasetError } from "../errors.js";
import type { LlavaTemplateName } from "../text/llava-templates.js";
import { mixReaders, type SamplingStrategy } from "./data-mix.js";
import { type DatasetOptions, openJsonDataset, type RecordFormat } from "./json-dataset.node.js";
import { openParquetDataset } from "./parquet-dataset.node.js";
import { concatSamples, type SampleReader } from "./sample-reader.js";
import { openScenes, type SceneReaderOptions } from "./scenes/scene-reader.node.js";

/** The files of a dataset: itself, or the Parquet files of a folder in the order of their names. */
const listFiles = async (path: string): Promise<string[]> => {
  try {
    if (!(await stat(path)).isDirectory()) return [path];
    const names = (await readdir(path)).filter((name) => name.endsWith(".parquet")).sort();
    if (names.length === 0) throw new Error("a folder without .parquet files");
    return names.map((name) => join(path, name));
  } catch (cause) {
    throw new DatasetError(
      `openDataset: a dataset must be a file or a folder of Parquet files, got ${cause instanceof Error ? cause.message : String(cause)} for ${path}. Check the path.`,
      { cause },
    );
  }
};

/**
 * Opens a JSON or JSON-lines file, a Parquet file, or a folder of Parquet files. Media lie beside the file unless
 * `mediaRoot` says otherwise.
 *
 * @throws DatasetError where nothing can be read there, OptionsError for an unknown format.
 */
export const openDataset = async (
  path: string,
  format: RecordFormat,
  options: DatasetOptions = {},
): Promise<SampleReader> => {
  const files = await listFiles(path);
  const readers: SampleReader[] = [];
  try {
    for (const file of files) {
      const all = { mediaRoot: dirname(file), ...options };
      readers.push(
        await (file.endsWith(".parquet")
          ? openParquetDataset(file, format, all)
          : openJsonDataset(file, format, all)),
      );
    }
  } catch (error) {
    await Promise.all(readers.map((reader) => reader.close()));
    throw error;
  }
  const [only] = readers;
  return readers.length === 1 ? only : concatSamples(readers);
};

/** One dataset of a mix: files, or scenes that are drawn. */
export type DatasetEntry = {
  /** Default `all`. */
  readonly sampling?: SamplingStrategy;
  /** The format that its conversations are to be written in (`ConversationSample`). */
  readonly template?: LlavaTemplateName;
} & (
  | (DatasetOptions & { readonly path: string; readonly format: RecordFormat })
  | { readonly scenes: SceneReaderOptions }
);

const openEntry = async (entry: DatasetEntry): Promise<SampleReader> => {
  if ("scenes" in entry) return openScenes(entry.scenes);
  const { path, format, ...options } = entry;
  return openDataset(path, format, options);
};

/** The same samples, to be written in a format of their own. */
const writeIn = (template: LlavaTemplateName, reader: SampleReader): SampleReader => ({
  ...reader,
  fingerprint: `${template}-${reader.fingerprint}`,
  read: async (index) => {
    const result = await reader.read(index);
    return "bad" in result ? result : { sample: { ...result.sample, template } };
  },
});

/**
 * Opens several datasets as one, each whole or in part; `random` parts follow from `seed`.
 *
 * @throws as `openDataset`; OptionsError for a sampling strategy that does not fit.
 */
export const openDataMix = async (
  entries: readonly DatasetEntry[],
  seed: number,
): Promise<SampleReader> => {
  const parts: { reader: SampleReader; sampling?: SamplingStrategy }[] = [];
  try {
    for (const { sampling, template, ...entry } of entries) {
      const reader = await openEntry(entry);
      parts.push({
        reader: template === undefined ? reader : writeIn(template, reader),
        ...(sampling && { sampling }),
      });
    }
    return mixReaders(parts, seed);
  } catch (error) {
    await Promise.all(parts.map(({ reader }) => reader.close()));
    throw error;
  }
};
