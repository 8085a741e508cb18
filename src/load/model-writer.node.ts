import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OptionsError, WeightsMismatchError } from "../errors.js";
import { listParameters } from "../nn/parameter-scope.js";
import { parseSystem } from "../systems/system.js";
import { elementCount, type TensorData } from "../tensor-data.js";
import { createRenameTable } from "../weights/rename.js";
import { writeSafetensors } from "../weights/safetensors-file.node.js";
import { narrowToFloat16 } from "../weights/widen.js";
import type { ModelSettings } from "./presets.js";

export type ModelContents = ModelSettings & {
  /** The model card, Markdown. */
  readonly card: string;
  /** tokenizer.json and what belongs to it, copied under their own names. */
  readonly tokenizerFiles: readonly (string | URL)[];
  /** Value of a parameter, by our name; asked for one at a time. */
  readonly parameterValue: (name: string) => TensorData<"float32"> | Promise<TensorData<"float32">>;
  /** How weights are stored; float32 unless given. */
  readonly dtype?: "float32" | "float16";
};

export type WrittenModel = {
  readonly path: string;
  readonly parameters: number;
  readonly tensors: number;
};

const asJson = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Every parameter under its published name, written tensor by tensor. */
const writeWeights = async (path: string, contents: ModelContents) => {
  const { config, visionConfig, parameterValue, dtype = "float32" } = contents;
  const system = parseSystem(config, visionConfig);
  const names = createRenameTable(system.names);
  const own = new Map<string, string>();
  const specs = [...listParameters(system.params)].map(([name, { shape }]) => {
    const published = names.toPublished(name);
    if (published === undefined) {
      throw new WeightsMismatchError(
        `writeModel: every parameter must have a published name, got none for "${name}"; add a rename rule`,
        [name],
        [],
        [],
      );
    }
    own.set(published, name);
    return { name: published, dtype, shape: shape.map(Number) };
  });
  const read = async (published: string): Promise<TensorData> => {
    const value = await parameterValue(own.get(published) ?? published);
    if (dtype === "float32") return value;
    return { dtype: "float16", shape: value.shape, data: narrowToFloat16(value.data) };
  };
  await writeSafetensors(path, specs, read, { format: "pt" });
  const parameters = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { parameters, tensors: specs.length };
};

/** Throws `OptionsError` unless `path` is free: absent or an empty folder. */
const checkFree = async (path: string): Promise<void> => {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new OptionsError(
      `writeModel: the folder must be new or empty, got ${path} (${error.message})`,
    );
  });
  if (names.length === 0) return;
  throw new OptionsError(
    `writeModel: the folder must be new or empty, got ${path} with ${names.length} files; choose another name`,
  );
};

/**
 * Writes a model folder in the published layout. The folder appears complete or not at all. Throws
 * `OptionsError` when it is not free.
 */
export const writeModel = async (
  folder: string,
  contents: ModelContents,
): Promise<WrittenModel> => {
  const path = resolve(folder);
  await checkFree(path);
  const temporary = join(dirname(path), `.saccade-${randomUUID()}.tmp`);
  const file = (...names: string[]) => join(temporary, ...names);
  const { config, visionConfig, preprocessorConfig, card, tokenizerFiles } = contents;
  try {
    // The processor belongs to whoever describes the vision tower.
    const tower = visionConfig === undefined ? [] : ["vision_tower"];
    await mkdir(file(...tower), { recursive: true });
    await writeFile(file("config.json"), asJson(config));
    await writeFile(file("README.md"), card);
    if (visionConfig !== undefined) {
      await writeFile(file("vision_tower", "config.json"), asJson(visionConfig));
    }
    await writeFile(file(...tower, "preprocessor_config.json"), asJson(preprocessorConfig));
    for (const source of tokenizerFiles) {
      await copyFile(source, file(String(source).split(/[/\\]/).at(-1) ?? ""));
    }
    const sizes = await writeWeights(file("model.safetensors"), contents);
    // Some systems do not rename onto an empty folder.
    await rmdir(path).catch(() => undefined);
    await rename(temporary, path);
    return { path, ...sizes };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
};
