/** The presets of Scenes with fewer and narrower layers, as folders: same settings, same tokenizer, first weights. */
import { writeModel } from "../../src/load/model-writer.node.js";
import { initParameters } from "../../src/load/new-model.node.js";
import { type ModelSettings, presets } from "../../src/load/presets.js";

export const smallWidth = 24;
const fewer = {
  hidden_size: smallWidth,
  intermediate_size: 32,
  num_hidden_layers: 2,
  num_attention_heads: 2,
};
const llava = presets["scenes-llava"];
const uhd = presets["scenes-llava-uhd"];

export const smallLlava: ModelSettings = {
  config: { ...llava.config, ...fewer, num_key_value_heads: 2, mm_hidden_size: smallWidth },
  visionConfig: { ...llava.visionConfig, ...fewer },
  preprocessorConfig: llava.preprocessorConfig,
};
export const smallUhd = {
  config: {
    ...uhd.config,
    ...fewer,
    num_key_value_heads: 2,
    vision_config: { ...(uhd.config as { vision_config: object }).vision_config, ...fewer },
  },
  preprocessorConfig: uhd.preprocessorConfig,
} satisfies ModelSettings;

const tokenizerFiles = ["tokenizer.json", "tokenizer_config.json"].map(
  (name) => new URL(`../../models/scenes-tokenizer/${name}`, import.meta.url),
);

/** Writes such a model with first weights drawn from `seed`. */
export const writeSmallModel = (folder: string, settings: ModelSettings, seed: number) =>
  writeModel(folder, {
    ...settings,
    card: "",
    tokenizerFiles,
    parameterValue: initParameters(settings.config, settings.visionConfig, seed),
  });
