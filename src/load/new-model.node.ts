import { GraphError } from "../errors.js";
import { initParameter } from "../graph/index.js";
import { listParameters } from "../nn/parameter-scope.js";
import { parseSystem } from "../systems/system.js";
import { elementCount, float32, type TensorData } from "../tensor-data.js";
import { type WrittenModel, writeModel } from "./model-writer.node.js";
import { type PresetName, presets, type TokenizerName } from "./presets.js";

const tokenizerFiles = (tokenizer: TokenizerName): URL[] =>
  ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"].map(
    (name) => new URL(`../../models/${tokenizer}/${name}`, import.meta.url),
  );

const cardOf = (preset: PresetName, seed: number): string => `# ${preset}, untrained

First weights of the preset \`${preset}\`, drawn with seed ${seed}. Nothing has been learned: the model answers any
question with meaningless text. Token counts, memory and times are those of a trained model of this size.
`;

/** First values of all parameters of a config's system, drawn by each parameter's own rule. */
export const initParameters = (
  config: object,
  visionConfig: object | undefined,
  seed: number,
): ((name: string) => TensorData<"float32">) => {
  const declared = listParameters(parseSystem(config, visionConfig).params);
  return (name) => {
    const tensor = declared.get(name);
    if (tensor?.source.kind !== "parameter") {
      throw new GraphError(`initParameters: "${name}" must be a parameter of the model, got none`);
    }
    const shape = tensor.shape.map(Number);
    return float32(
      shape,
      initParameter(tensor.source.initializer, name, elementCount(shape), seed),
    );
  };
};

/**
 * Writes a model folder with first weights, in the layout that published models have. The folder
 * appears complete or not at all. Throws `OptionsError` when it is not free.
 */
export const writeNewModel = (
  folder: string,
  preset: PresetName,
  seed: number,
): Promise<WrittenModel> => {
  const { tokenizer, ...settings } = presets[preset];
  return writeModel(folder, {
    ...settings,
    card: cardOf(preset, seed),
    tokenizerFiles: tokenizerFiles(tokenizer),
    parameterValue: initParameters(settings.config, settings.visionConfig, seed),
  });
};
