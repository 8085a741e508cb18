import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { ModelNotFoundError, OptionsError, WeightsMismatchError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { readJsonIfPresent } from "../weights/json-file.node.js";
import type { RenameTable } from "../weights/rename.js";
import { openSafetensors, saveSafetensors } from "../weights/safetensors-file.node.js";
import { widenTensor } from "../weights/widen.js";
import {
  adapterFiles,
  adapterPartOf,
  adapterScale,
  formatAdapterConfig,
  fromAdapterName,
  type LoraConfig,
  parseAdapterConfig,
  toAdapterName,
} from "./lora-adapter.js";

export type LoraAdapter = {
  readonly config: LoraConfig;
  readonly scale: number;
  /** By the model's full names. */
  readonly tensors: ReadonlyMap<string, TensorData<"float32">>;
};

/**
 * Reads an adapter's folder for a model of these names. Throws `ModelNotFoundError` for a folder that
 * is none, `ModelConfigError` for other kinds of adapters and `WeightsMismatchError` for names that
 * the model does not have.
 */
export const readAdapter = async (folder: string, names: RenameTable): Promise<LoraAdapter> => {
  const settings = await readJsonIfPresent(join(folder, adapterFiles.config));
  if (settings === undefined) {
    throw new ModelNotFoundError(
      `readAdapter: an adapter's folder must hold ${adapterFiles.config}, got none in ${folder}; name a folder that PEFT or saccade train wrote`,
    );
  }
  const config = parseAdapterConfig(settings);
  const file = await openSafetensors(join(folder, adapterFiles.weights));
  const tensors = new Map<string, TensorData<"float32">>();
  const unexpected: string[] = [];
  for (const name of file.tensors.keys()) {
    const internal = names.toInternal(fromAdapterName(name));
    if (internal === undefined) unexpected.push(name);
    else tensors.set(internal, widenTensor(await file.readTensor(name)));
  }
  if (unexpected.length > 0) {
    throw new WeightsMismatchError(
      `readAdapter: ${folder} must fit the model, got ${unexpected.length} tensors of layers that it does not have, the first is "${unexpected[0]}"; load the base that it was trained on`,
      [],
      unexpected,
      [],
    );
  }
  return { config, scale: adapterScale(config), tensors };
};

/**
 * Writes an adapter, whole or not at all. `tensors`: matrices and parameters that are replaced, by
 * full name. Throws `OptionsError` when `path` is not free.
 */
export const writeAdapter = async (
  path: string,
  { config, tensors }: Pick<LoraAdapter, "config" | "tensors">,
  names: RenameTable,
  { baseModel, card }: { readonly baseModel: string; readonly card: string },
): Promise<void> => {
  const target = resolve(path);
  const occupied = await readdir(target).catch(() => []);
  if (occupied.length > 0) {
    throw new OptionsError(
      `writeAdapter: the folder must be new or empty, got ${target} with ${occupied.length} files; choose another one`,
    );
  }
  const published = (name: string): string => {
    const found = names.toPublished(name);
    if (found !== undefined) return found;
    throw new WeightsMismatchError(
      `writeAdapter: every parameter must have a published name, got none for "${name}"; add a rename rule`,
      [name],
      [],
      [],
    );
  };
  const layers = new Set<string>();
  const replaced = new Set<string>();
  for (const name of tensors.keys()) {
    const own = adapterPartOf(name);
    if (own === undefined) replaced.add(published(name).replace(/\.(?:weight|bias)$/, ""));
    else layers.add(published(`${own.layer}.weight`).replace(/\.weight$/, ""));
  }
  const temporary = join(dirname(target), `.saccade-${randomUUID()}.tmp`);
  try {
    await mkdir(temporary, { recursive: true });
    const settings = formatAdapterConfig(config, baseModel, [...layers], [...replaced]);
    await writeFile(join(temporary, adapterFiles.config), `${JSON.stringify(settings, null, 2)}\n`);
    await writeFile(join(temporary, "README.md"), card);
    await saveSafetensors(
      join(temporary, adapterFiles.weights),
      new Map([...tensors].map(([name, tensor]) => [toAdapterName(published(name)), tensor])),
    );
    await rm(target, { recursive: true, force: true });
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
};
