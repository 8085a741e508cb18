/** First values of parameters that a recipe asks for in place of its folder's. */
import { RecipeError } from "../errors.js";
import { initParameter, type Tensor } from "../graph/index.js";
import { resolveModel } from "../load/resolved-model.js";
import { reuseLayer } from "../reduce/early-compressor-start.js";
import { evenVotes } from "../reduce/granularity-router-start.js";
import { pooledStart } from "../reduce/merger-start.js";
import { resizePositionTable } from "../reduce/position-tables.js";
import { isAvgLlava } from "../systems/image-layouts.js";
import type { SystemConfig } from "../systems/system.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { type ModelFolderOptions, openModelFolder } from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { selectNames } from "./parameter-patterns.js";
import type { Recipe } from "./recipe-schema.js";
import { type StoredParameters, storedParameters } from "./stored-parameters.node.js";

type Entry = Recipe["model"]["initialise"][number];
type ReadParameter = StoredParameters["read"];

/** The folder being started from, and what its config declares. */
export type InitialisedModel = {
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly config: SystemConfig;
  readonly readStored: ReadParameter;
};

/** Which entry fills which parameter: the last one that chooses it. */
const chooseEntries = (
  entries: readonly Entry[],
  names: readonly string[],
): ReadonlyMap<string, Entry> => {
  const chosen = new Map<string, Entry>();
  for (const entry of entries) {
    for (const name of selectNames(entry.parameters, names, "model.initialise")) {
      chosen.set(name, entry);
    }
  }
  return chosen;
};

/** A parameter of LLaVA-UHD's compressor from the layer before it. */
const startFromLayer = (
  name: string,
  shape: readonly number[],
  { config, readStored }: InitialisedModel,
): Promise<TensorData<"float32">> => {
  const compressor = config.system === "llava-uhd" ? config.vision.compressor : undefined;
  const own = /^compressor\.(.+)$/.exec(name)?.[1];
  if (compressor === undefined || own === undefined) {
    throw new RecipeError(
      `initialValues: layer-before fills LLaVA-UHD's compressor, got "${name}"; choose "compressor.**" of a model with insert_layer_id`,
    );
  }
  return reuseLayer(own, shape, (part) =>
    readStored(`vision.layers.${compressor.afterLayer}.${part}`),
  );
};

/** A layer of pre-fusion from the decoder's. */
const startFromDecoder = (
  name: string,
  { parameters, readStored }: InitialisedModel,
): Promise<TensorData<"float32">> => {
  const twin = name.replace(/^prefusion\./, "language.");
  if (twin !== name && parameters.has(twin)) return readStored(twin);
  throw new RecipeError(
    `initialValues: language-layers fills layers of pre-fusion from the decoder's, got "${name}"; choose "prefusion.**"`,
  );
};

/** The weights of votes in AVG-LLaVA's router. */
const startEven = (
  name: string,
  shape: readonly number[],
  { config }: InitialisedModel,
): TensorData<"float32"> => {
  const router = config.system !== "llava-uhd" && isAvgLlava(config) ? config.router : undefined;
  if (router === undefined || name !== "router.voter") {
    throw new RecipeError(
      `initialValues: even-votes fills the voter of AVG-LLaVA's router, got "${name}"; choose "router.voter" of a model with router_select`,
    );
  }
  return float32(shape, evenVotes(router));
};

/** LLaVA-UHD's merger from another model's projector. */
const startPooled = (
  name: string,
  shape: readonly number[],
  { deviations = [] }: Entry,
  read: ReadParameter,
  drawn: () => TensorData<"float32">,
): Promise<TensorData<"float32">> => {
  const own = /^merger\.(.+)$/.exec(name)?.[1];
  if (own === undefined) {
    throw new RecipeError(
      `initialValues: pooled-projector fills LLaVA-UHD's merger, got "${name}"; choose "merger.**"`,
    );
  }
  const readProjector = (part: string) => read(`projector.${part}`);
  return pooledStart(own, shape, { readProjector, drawn, deviations });
};

/** Readers of the other models that a recipe takes values from, each opened once. */
const createOtherModels = (
  options: ModelFolderOptions,
): ((from: string) => Promise<ReadParameter>) => {
  const opened = new Map<string, Promise<ReadParameter>>();
  const open = async (from: string): Promise<ReadParameter> => {
    const resolved = await resolveModel(await openModelFolder(from, options), (name) =>
      openModelFolder(name, options),
    );
    return storedParameters(resolved, createRenameTable(resolved.system.names)).read;
  };
  return (from) => {
    const reader = opened.get(from) ?? open(from);
    opened.set(from, reader);
    return reader;
  };
};

/** A parameter of another model, as it is or with its grid of positions resized. */
const readOther = async (
  name: string,
  shape: readonly number[],
  { with: kind, from = "", rename = {} }: Entry,
  read: ReadParameter,
): Promise<TensorData<"float32">> => {
  const there = createRenameTable(Object.entries(rename)).toPublished(name) ?? name;
  const value = await read(there);
  const fitting = kind === "interpolated" ? resizePositionTable(value, shape[0]) : value;
  if (String(fitting.shape) === String(shape)) return fitting;
  throw new RecipeError(
    `initialValues: "${name}" has the shape [${shape}], got [${value.shape}] of "${there}" in ${from}; leave it out with "!${name}", or initialise it otherwise`,
  );
};

/**
 * Values for all parameters that `model.initialise` names. `from` of its entries is opened as given.
 *
 * Throws `RecipeError` for a parameter that an entry cannot fill, and what opening and reading other
 * models throws.
 */
export const initialValues = async (
  { model, seed }: Pick<Recipe, "model" | "seed">,
  started: InitialisedModel,
  options: ModelFolderOptions,
): Promise<Map<string, TensorData<"float32">>> => {
  const openOther = createOtherModels(options);
  const values = new Map<string, TensorData<"float32">>();
  for (const [name, entry] of chooseEntries(model.initialise, [...started.parameters.keys()])) {
    const tensor = started.parameters.get(name);
    if (tensor?.source.kind !== "parameter") continue;
    const shape = tensor.shape.map(Number);
    const { initializer } = tensor.source;
    const drawn = () => float32(shape, initParameter(initializer, name, elementCount(shape), seed));
    const fill = async (): Promise<TensorData<"float32">> => {
      switch (entry.with) {
        case "zeros":
          return float32(shape, new Float32Array(elementCount(shape)));
        case "declared":
          return drawn();
        case "layer-before":
          return startFromLayer(name, shape, started);
        case "even-votes":
          return startEven(name, shape, started);
        case "language-layers":
          return startFromDecoder(name, started);
        case "checkpoint":
        case "interpolated":
          return readOther(name, shape, entry, await openOther(entry.from ?? ""));
        case "pooled-projector":
          return startPooled(name, shape, entry, await openOther(entry.from ?? ""), drawn);
      }
    };
    values.set(name, await fill());
  }
  return values;
};
