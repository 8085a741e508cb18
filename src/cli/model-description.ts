import { stat } from "node:fs/promises";
import { relative } from "node:path";
import { type CostReport, createCostEstimator } from "../cost/cost-report.js";
import { kvBytesPerToken } from "../cost/kv-bytes.js";
import { GraphError, TokenizerError, WeightsMismatchError } from "../errors.js";
import { createMediaPreparation, type MediaReport } from "../generate/media.js";
import type { Size } from "../image/image.js";
import { groupByFile } from "../load/broken-weights.node.js";
import { readTokenizer, resolveModel } from "../load/resolved-model.js";
import { listParameters } from "../nn/parameter-scope.js";
import { tokensPerView } from "../systems/llava-config.js";
import {
  ignoredTensors,
  type System,
  type SystemConfig,
  type SystemOptions,
} from "../systems/system.js";
import { elementCount } from "../tensor-data.js";
import { chooseTemplate } from "../text/model-template.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type { StoredTensor } from "../weights/folder-files.js";
import { matchWeights } from "../weights/matching.js";
import {
  type ModelFolder,
  type ModelFolderOptions,
  openModelFolder,
} from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { storedBytes } from "./cost-model.js";

/** Parameters of one part of a model. */
export type PartSize = { readonly part: string; readonly parameters: number };

export type WeightFile = {
  readonly name: string;
  readonly bytes: number;
  readonly tensors: number;
  readonly dtypes: readonly string[];
};

/** What an image of one size costs. */
export type ImageCost = MediaReport & {
  /** Tokens that the vision tower makes of each view, before anything is merged. */
  readonly tokensPerView: number;
  readonly kvBytes: number;
  /** Operations and memory of a short question about it; absent where that fills the context. */
  readonly report?: CostReport;
};

/** Text of the question that an image's cost is told for: a template and a line. */
const questionTokens = 64;

/** A model as its files describe it; no weight has been read. */
export type ModelDescription = {
  readonly name: string;
  readonly path: string;
  readonly system: System;
  readonly tokenizer?: Tokenizer;
  /** Name of the chat template; absent without a tokenizer. */
  readonly template?: string;
  readonly parts: readonly PartSize[];
  readonly files: readonly WeightFile[];
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Why the weights do not fit the architecture, if they do not. */
  readonly mismatch?: WeightsMismatchError;
  /** Bytes of keys and values that one token takes in all layers. */
  readonly kvBytesPerToken: number;
  readonly costOf: (image: Size) => ImageCost;
};

const partNames: readonly (readonly [RegExp, string])[] = [
  [/^language\.embedding\b/, "embeddings"],
  [/^language\.head\b/, "head"],
  [/^language\./, "decoder"],
  [/^imageNewline$/, "projector"],
];

const sizesOf = (system: System): PartSize[] => {
  const sizes = new Map<string, number>();
  for (const [name, { shape }] of listParameters(system.params)) {
    const part = partNames.find(([pattern]) => pattern.test(name))?.[1] ?? name.split(".")[0];
    sizes.set(part, (sizes.get(part) ?? 0) + elementCount(shape.map(Number)));
  }
  return [...sizes].map(([part, parameters]) => ({ part, parameters }));
};

const filesOf = async (
  root: string,
  tensors: ReadonlyMap<string, StoredTensor>,
): Promise<WeightFile[]> => {
  const files: WeightFile[] = [];
  for (const [file, stored] of groupByFile(tensors)) {
    const inside = relative(root, file);
    files.push({
      name: inside.startsWith("..") ? file : inside,
      bytes: (await stat(file)).size,
      tensors: stored.length,
      dtypes: [...new Set(stored.map(([, { entry }]) => entry.dtype))].sort(),
    });
  }
  return files;
};

/** Tokens that the vision tower makes of the first view. */
const towerTokens = (config: SystemConfig, { views: [view] }: MediaReport): number => {
  if (config.system !== "llava-uhd") return tokensPerView(config);
  return (view.width * view.height) / config.vision.tower.patchSizePx ** 2;
};

/** The tokenizer; undefined where the folder has none, as folders with recorded outputs. */
const readTokenizerIfPresent = (folder: ModelFolder): Promise<Tokenizer | undefined> =>
  readTokenizer(folder).catch((error: unknown) => {
    if (error instanceof TokenizerError) return undefined;
    throw error;
  });

/** What a plan answers when it is asked to compute. */
const refuseToCompute = (): Promise<never> =>
  Promise.reject(new GraphError("inspect: this is a plan and computes nothing; load the model"));

const mismatchOf = (
  system: System,
  tensors: ReadonlyMap<string, StoredTensor>,
): WeightsMismatchError | undefined => {
  const expected = new Map(
    [...listParameters(system.params)].map(([name, { shape }]) => [name, shape.map(Number)]),
  );
  try {
    matchWeights(expected, tensors, createRenameTable(system.names), { ignore: ignoredTensors });
    return undefined;
  } catch (error) {
    if (error instanceof WeightsMismatchError) return error;
    throw error;
  }
};

/**
 * Describes a model from its settings and the headers of its weight files. Throws what
 * `openModelFolder` and `parseSystem` throw.
 */
export const describeModel = async (
  name: string,
  options: ModelFolderOptions & SystemOptions,
): Promise<ModelDescription> => {
  const folder = await openModelFolder(name, options);
  const openTower = (tower: string) => openModelFolder(tower, options);
  const { system, processor, tensors } = await resolveModel(folder, openTower, options);
  const { config, language } = system;
  const tokenizer = await readTokenizerIfPresent(folder);
  const encoder = system.createEncoder({
    open: refuseToCompute,
    featureCacheBytes: 0,
    maxPromptTokens: config.maxLength,
  });
  const media = createMediaPreparation(config, processor, encoder);
  const kvBytes = kvBytesPerToken(language);
  const estimate = createCostEstimator(
    { system, processor },
    { weightBytes: storedBytes(tensors) },
  );
  return {
    name: folder.name,
    path: folder.path,
    system,
    tokenizer,
    ...(tokenizer && {
      template: chooseTemplate({
        modelType: String(folder.config.model_type ?? ""),
        chatTemplate: folder.chatTemplate,
        tokenizer,
      }).name,
    }),
    parts: sizesOf(system),
    files: await filesOf(folder.path, tensors),
    tensors,
    mismatch: mismatchOf(system, tensors),
    kvBytesPerToken: kvBytes,
    costOf: (image) => {
      const planned = media.plan({ type: "image", image: { ...image, data: new Uint8Array(0) } });
      const fits = planned.tokens + questionTokens < config.maxLength;
      return {
        ...planned,
        tokensPerView: towerTokens(config, planned),
        kvBytes: planned.tokens * kvBytes,
        ...(fits && { report: estimate({ media: [image], textTokens: questionTokens }) }),
      };
    },
  };
};
