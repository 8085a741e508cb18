import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OptionsError, WeightsMismatchError } from "../errors.js";
import { initParameter } from "../graph/index.js";
import { listParameters } from "../nn/parameter-scope.js";
import { parseSystem } from "../systems/system.js";
import { elementCount, float32 } from "../tensor-data.js";
import { createRenameTable } from "../weights/rename.js";
import { writeSafetensors } from "../weights/safetensors-file.node.js";
import { type PresetName, presets } from "./presets.js";

/** The small tokenizer that the presets' vocabulary belongs to. */
const tokenizerFolder = new URL("../../models/tokenizer/", import.meta.url);
const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];

export type NewModel = {
  readonly path: string;
  readonly parameters: number;
  readonly tensors: number;
};

const cardOf = (preset: PresetName, seed: number): string => `# ${preset}, untrained

First weights of the preset \`${preset}\`, drawn with seed ${seed}. Nothing has been learned: the model answers any
question with meaningless text. Token counts, memory and times are those of a trained model of this size.
`;

const asJson = (value: object): string => `${JSON.stringify(value, null, 2)}\n`;

/** Every parameter's first value, by its published name, written tensor by tensor. */
const writeWeights = async (path: string, preset: PresetName, seed: number) => {
  const { config, visionConfig } = presets[preset];
  const system = parseSystem(config, visionConfig);
  const names = createRenameTable(system.names);
  const byPublished = new Map(
    [...listParameters(system.params)].map(([name, tensor]) => {
      const published = names.toPublished(name);
      if (published === undefined) {
        throw new WeightsMismatchError(
          `init: every parameter must have a published name, got none for "${name}"; add a rename rule`,
          [name],
          [],
          [],
        );
      }
      return [published, { name, tensor, shape: tensor.shape.map(Number) }] as const;
    }),
  );
  const specs = [...byPublished].map(([name, { shape }]) => ({
    name,
    dtype: "float32" as const,
    shape,
  }));
  await writeSafetensors(
    path,
    specs,
    (published) => {
      const found = byPublished.get(published);
      const source = found?.tensor.source;
      if (found === undefined || source?.kind !== "parameter") {
        throw new WeightsMismatchError(
          `init: "${published}" must be a parameter of ${preset}, got none`,
          [published],
          [],
          [],
        );
      }
      const count = elementCount(found.shape);
      return float32(found.shape, initParameter(source.initializer, found.name, count, seed));
    },
    { format: "pt" },
  );
  const parameters = specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { parameters, tensors: specs.length };
};

/** Throws `OptionsError` unless `path` is free: absent or an empty folder. */
const checkFree = async (path: string): Promise<void> => {
  const names = await readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new OptionsError(`init: the folder must be new or empty, got ${path} (${error.message})`);
  });
  if (names.length === 0) return;
  throw new OptionsError(
    `init: the folder must be new or empty, got ${path} with ${names.length} files; choose another name`,
  );
};

/**
 * Writes a model folder with first weights, in the layout that published models have. The folder
 * appears complete or not at all. Throws `OptionsError` when it is not free.
 */
export const writeNewModel = async (
  folder: string,
  preset: PresetName,
  seed: number,
): Promise<NewModel> => {
  const path = resolve(folder);
  await checkFree(path);
  const temporary = join(dirname(path), `.saccade-${randomUUID()}.tmp`);
  const file = (...names: string[]) => join(temporary, ...names);
  const { config, visionConfig, preprocessorConfig } = presets[preset];
  try {
    await mkdir(file("vision_tower"), { recursive: true });
    await writeFile(file("config.json"), asJson(config));
    await writeFile(file("README.md"), cardOf(preset, seed));
    await writeFile(file("vision_tower", "config.json"), asJson(visionConfig));
    await writeFile(file("vision_tower", "preprocessor_config.json"), asJson(preprocessorConfig));
    for (const name of tokenizerFiles) await copyFile(new URL(name, tokenizerFolder), file(name));
    const sizes = await writeWeights(file("model.safetensors"), preset, seed);
    // Some systems do not rename onto an empty folder.
    await rmdir(path).catch(() => undefined);
    await rename(temporary, path);
    return { path, ...sizes };
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
};
