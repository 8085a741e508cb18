/** The model that training starts from: its folder, what a recipe initialises anew, and how it is saved. */
import { randomUUID } from "node:crypto";
import { copyFile, mkdir, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OptionsError, WeightsMismatchError } from "../errors.js";
import { initParameter, type ParameterSource, type Tensor } from "../graph/index.js";
import { locateForEngine } from "../load/located-tensors.node.js";
import { adapterScale, listLinearLayers, mergeAdapter } from "../load/lora-adapter.js";
import { writeAdapter } from "../load/lora-adapter.node.js";
import { locateParameters } from "../load/parameter-source.js";
import { type ResolvedModel, readTokenizer, resolveModel } from "../load/resolved-model.js";
import { linearParams } from "../nn/linear.js";
import {
  type AdapterOf,
  listParameters,
  ParameterScope,
  type ParameterTree,
} from "../nn/parameter-scope.js";
import { paperLlavaMini, releasedLlavaMini } from "../systems/llava-mini-config.js";
import { printReaderName, printReaderParams } from "../systems/print-reading.js";
import { ignoredTensors } from "../systems/system.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import type { Tokenizer } from "../text/tokenizer.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { readTensor, writeSafetensors } from "../weights/safetensors-file.node.js";
import { narrowToFloat16, widenTensor } from "../weights/widen.js";
import { initialValues } from "./initial-values.node.js";
import { selectNames } from "./parameter-patterns.js";
import { learnsPrint, type Recipe } from "./recipe-schema.js";
import { storedParameters } from "./stored-parameters.node.js";
import type { LoopTensors } from "./trainable.js";

export type StartingModel = Pick<ResolvedModel, "folder" | "system" | "processor"> & {
  readonly tokenizer: Tokenizer;
  /** Every parameter of the system by its full name. */
  readonly parameters: ReadonlyMap<string, Tensor>;
  /** Where the engine finds parameters that do not train; `changed` goes before the folder. */
  readonly source: (changed: LoopTensors) => ParameterSource;
  /** Bytes of the stored weights among `names`. */
  readonly storedBytes: (names: Iterable<string>) => number;
  /** Layers that the recipe gives an adapter. */
  readonly adapterOf: AdapterOf;
  /** First value of a parameter. */
  readonly read: (name: string) => Promise<TensorData<"float32">>;
  /**
   * Writes the model with `changed` in the layout of the folder that it came from, or the adapter that
   * the recipe asks for; whole or not at all. Throws `OptionsError` when `path` is not free.
   */
  readonly save: (path: string, changed: LoopTensors, card: string) => Promise<void>;
};

const weightFile = /\.(?:safetensors|bin|pt|pth|gguf|onnx)$|\.index\.json$/;
const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** Copies a folder's files for which `isKept`; folders in it are left out. */
const copyFiles = async (
  from: string,
  to: string,
  isKept: (name: string) => boolean,
): Promise<void> => {
  await mkdir(to, { recursive: true });
  // A hub snapshot is made of links: what counts is what they lead to.
  for (const name of await readdir(from)) {
    if (isKept(name) && (await stat(join(from, name))).isFile()) {
      await copyFile(join(from, name), join(to, name));
    }
  }
};

/** A floating-point tensor as `dtype` says, or as it is. */
const storeAs = (dtype: Recipe["model"]["dtype"], tensor: TensorData): TensorData => {
  if (dtype === undefined) return tensor;
  const wide = widenTensor(tensor);
  return dtype === "float32"
    ? wide
    : { dtype, shape: wide.shape, data: narrowToFloat16(wide.data) };
};

/** The recipe's adapter: its layers and their matrices, declared as the layers declare them. */
const declareAdapter = (
  { lora }: Recipe["model"],
  params: ParameterTree,
): { readonly adapterOf: AdapterOf; readonly parameters: ReadonlyMap<string, Tensor> } => {
  if (lora === undefined) return { adapterOf: () => undefined, parameters: new Map() };
  const layers = listLinearLayers(params);
  const chosen = new Set(selectNames(lora.targets, [...layers.keys()], "model.lora.targets"));
  const shape = { rank: lora.rank, scale: lora.alpha / lora.rank };
  const adapterOf: AdapterOf = (name) => (chosen.has(name) ? shape : undefined);
  const root = new ParameterScope([], undefined, adapterOf);
  const parameters = new Map<string, Tensor>();
  for (const name of chosen) {
    const [outWidth, inWidth] = (layers.get(name)?.shape ?? []).map(Number);
    const { lora: matrices } = linearParams(root.child(...name.split(".")), outWidth, inWidth);
    for (const [full, tensor] of listParameters(matrices)) parameters.set(full, tensor);
  }
  return { adapterOf, parameters };
};

/** The layer that tells characters, where a stage learns to read print: it trains, and is saved with checkpoints alone. */
const declareReader = (
  stages: Recipe["stages"],
  { config }: ResolvedModel["system"],
): ReadonlyMap<string, Tensor> =>
  config.system === "llava-uhd" && stages.some(learnsPrint)
    ? listParameters({
        [printReaderName]: printReaderParams(new ParameterScope([]), config.vision),
      })
    : new Map();

/** First values of parameters that no folder holds, as they are declared. */
const drawDeclared = (
  declared: ReadonlyMap<string, Tensor>,
  seed: number,
): Map<string, TensorData<"float32">> => {
  const drawn = new Map<string, TensorData<"float32">>();
  for (const [name, { source, shape }] of declared) {
    if (source.kind !== "parameter") continue;
    const sides = shape.map(Number);
    drawn.set(
      name,
      float32(sides, initParameter(source.initializer, name, elementCount(sides), seed)),
    );
  }
  return drawn;
};

/**
 * Opens the folder that `recipe.model` names (`from` as given, or resolved by the caller, as those of
 * `model.initialise`) and checks that it holds every parameter that is not initialised anew.
 */
export const openStartingModel = async (
  recipe: Pick<Recipe, "model" | "seed"> & Partial<Pick<Recipe, "stages">>,
  from: string,
  options: ModelFolderOptions = {},
): Promise<StartingModel> => {
  const stored = await openModelFolder(from, options);
  const { variant, config: changes } = recipe.model;
  const folder = { ...stored, config: { ...stored.config, ...changes } };
  const resolved = await resolveModel(folder, (name) => openModelFolder(name, options), {
    ...(variant && { variant: variant === "paper" ? paperLlavaMini : releasedLlavaMini }),
  });
  const { system, processor } = resolved;
  const dropped = new Set(
    selectNames(recipe.model.drop ?? [], [...resolved.tensors.keys()], "model.drop"),
  );
  const tensors = new Map([...resolved.tensors].filter(([name]) => !dropped.has(name)));
  const tokenizer = await readTokenizer(folder);
  const names = createRenameTable(system.names);
  const adapter = declareAdapter(recipe.model, system.params);
  const own = new Map([...listParameters(system.params), ...adapter.parameters]);
  const reader = declareReader(recipe.stages ?? [], system);
  const parameters = new Map([...own, ...reader]);
  const { publishedName, read: readStored } = storedParameters({ folder, tensors }, names);
  const { config } = system;
  const initialised = await initialValues(recipe, { parameters: own, config, readStored }, options);
  for (const [name, value] of drawDeclared(adapter.parameters, recipe.seed))
    if (!initialised.has(name)) initialised.set(name, value);
  const scaffold = drawDeclared(reader, recipe.seed);
  const kept = Object.fromEntries([...own].filter(([name]) => !initialised.has(name)));
  const replaced = [...initialised.keys()].map(
    (name) => new RegExp(`^${literally(publishedName(name))}$`),
  );
  const located = locateParameters(kept, await locateForEngine(tensors), names, {
    ignore: [...ignoredTensors, ...replaced],
  });

  const firstValue = (name: string) => initialised.get(name) ?? scaffold.get(name);
  const read: StartingModel["read"] = async (name) => firstValue(name) ?? readStored(name);

  const save: StartingModel["save"] = async (path, trained, card) => {
    const changed = new Map([...trained].filter(([name]) => !scaffold.has(name)));
    const { lora } = recipe.model;
    if (lora === undefined) return saveWhole(path, new Map([...initialised, ...changed]), card);
    const config = { rank: lora.rank, alpha: lora.alpha, isRankStabilised: false };
    const values = new Map([...initialised, ...changed]);
    if (lora.save === "adapter") {
      return writeAdapter(path, { config, tensors: values }, names, {
        baseModel: recipe.model.from,
        card,
      });
    }
    await saveWhole(path, await mergeAdapter(values, adapterScale(config), read), card);
  };

  const saveWhole = async (path: string, own: LoopTensors, card: string): Promise<void> => {
    const target = resolve(path);
    const occupied = await readdir(target).catch(() => []);
    if (occupied.length > 0) {
      throw new OptionsError(
        `save: the folder must be new or empty, got ${target} with ${occupied.length} files; choose another one`,
      );
    }
    const values = new Map([...own].map(([name, tensor]) => [publishedName(name), tensor]));
    const ownsTower = [...own.keys()].some((name) => name.startsWith("vision."));
    const unchanged = [...(ownsTower ? tensors : folder.tensors)].filter(
      ([name]) => !values.has(name) && !dropped.has(name),
    );
    const { dtype } = recipe.model;
    const specs = [
      ...unchanged.map(([name, { entry }]) => ({ name, dtype: entry.dtype, shape: entry.shape })),
      ...[...values].map(([name, { dtype, shape }]) => ({ name, dtype, shape })),
    ].map((spec) => (dtype === undefined ? spec : { ...spec, dtype }));
    const kept = new Map(unchanged);
    const readValue = async (name: string): Promise<TensorData> => {
      const value = values.get(name);
      const file = kept.get(name);
      if (value !== undefined) return value;
      if (file !== undefined) return readTensor(file.file, file.entry);
      throw new WeightsMismatchError(`save: "${name}" must have a value`, [name], [], []);
    };
    const temporary = join(dirname(target), `.saccade-${randomUUID()}.tmp`);
    try {
      await copyFiles(
        folder.path,
        temporary,
        (name) => !weightFile.test(name) && name !== "README.md",
      );
      if (resolved.tower?.path === join(folder.path, "vision_tower")) {
        // Its weights stay in its own folder, unless they were trained.
        await copyFiles(
          resolved.tower.path,
          join(temporary, "vision_tower"),
          (name) => !ownsTower || !weightFile.test(name),
        );
      }
      if (changes !== undefined || dtype !== undefined)
        await writeFile(
          join(temporary, "config.json"),
          `${JSON.stringify({ ...folder.config, ...(dtype && { torch_dtype: dtype }) }, null, 2)}\n`,
        );
      await writeFile(join(temporary, "README.md"), card);
      await writeSafetensors(
        join(temporary, "model.safetensors"),
        specs,
        async (name) => storeAs(dtype, await readValue(name)),
        { format: "pt" },
      );
      await rm(target, { recursive: true, force: true });
      await rename(temporary, target);
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  };

  return {
    folder,
    system,
    processor,
    tokenizer,
    parameters,
    source: (changed) => (name, shape) => {
      const value = changed.get(name) ?? firstValue(name);
      if (value === undefined) return located(name, shape);
      const { buffer, byteOffset, byteLength } = value.data;
      return { dtype: "float32", content: new Uint8Array(buffer, byteOffset, byteLength) };
    },
    storedBytes: (wanted) => {
      let bytes = 0;
      for (const name of wanted) {
        bytes +=
          firstValue(name)?.data.byteLength ??
          tensors.get(publishedName(name))?.entry.byteLength ??
          0;
      }
      return bytes;
    },
    adapterOf: adapter.adapterOf,
    read,
    save,
  };
};
