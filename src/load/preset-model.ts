import { OptionsError } from "../errors.js";
import type { ImageProcessorConfig } from "../systems/image-processing.js";
import { parseSystem, type System, type SystemOptions } from "../systems/system.js";
import { presets } from "./presets.js";
import { type PublishedSize, publishedModel, publishedSizes } from "./published-sizes.js";
import { chooseProcessor } from "./resolved-model.js";

/** A model known by its settings alone. */
export type PresetModel = {
  readonly system: System;
  readonly processor: ImageProcessorConfig;
  /** Whether it is one of the papers', whose weights have 16 bits, or one that `saccade init` writes. */
  readonly isPublished: boolean;
};

/** Published sizes, then those that `saccade init` writes. */
export const presetNames: readonly string[] = [
  ...Object.keys(publishedSizes),
  ...Object.keys(presets),
];

export const isPreset = (name: string): boolean => presetNames.includes(name);

const isPublished = (name: string): name is PublishedSize => Object.hasOwn(publishedSizes, name);

/**
 * A preset by name, changed by `changes` (keys of `config.json`). Throws `OptionsError` for a name that
 * is none, and what `parseSystem` throws.
 */
export const presetModel = (
  name: string,
  { changes = {}, ...options }: SystemOptions & { readonly changes?: object } = {},
): PresetModel => {
  if (isPublished(name)) return { ...publishedModel(name, { ...changes }), isPublished: true };
  const own = Object.entries(presets).find(([preset]) => preset === name)?.[1];
  if (own === undefined) {
    throw new OptionsError(
      `presetModel: the preset must be one of ${presetNames.join(", ")}, got ${JSON.stringify(name)}`,
    );
  }
  const system = parseSystem({ ...own.config, ...changes }, own.visionConfig, options);
  return { system, processor: chooseProcessor(system, own), isPublished: false };
};
