import { randomUUID } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { OptionsError, WeightsMismatchError } from "../errors.js";
import type { RenameTable } from "../weights/rename.js";
import { saveSafetensors } from "../weights/safetensors-file.node.js";
import { adapterFiles, adapterPartOf, formatAdapterConfig, toAdapterName } from "./lora-adapter.js";
import type { LoraAdapter } from "./lora-adapter-folder.js";

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
