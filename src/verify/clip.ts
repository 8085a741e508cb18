import { createGraph, input, type Tensor } from "../graph/index.js";
import { ParameterScope } from "../nn/parameter-scope.js";
import { Taps } from "../nn/taps.js";
import {
  clipHiddenState,
  clipNames,
  clipParams,
  clipPooled,
  dropClassToken,
  parseClipConfig,
} from "../vision/clip.js";
import type { Produced, VerifyContext } from "./recorded.js";

/** Our name of an intermediate, by its recorded name. */
const tapNames: readonly (readonly [RegExp, string])[] = [
  [/^patch_embeds$/, "patches"],
  [/^embeddings$/, "embeddings"],
  [/^hidden_states\.(\d+)$/, "hidden.$1"],
  [/^layer(\d+)\.norm1$/, "layers.$1.norm1"],
  [/^layer(\d+)\.attn$/, "layers.$1.attention"],
  [/^layer(\d+)\.mlp$/, "layers.$1.mlp"],
];

/** Runs a recorded `CLIPVisionModel` folder. */
export const produceClip = async ({
  recorded,
  config,
  engine,
  locate,
}: VerifyContext): Promise<Produced> => {
  const clip = parseClipConfig(config);
  const params = clipParams(new ParameterScope(), clip);
  const parameters = locate(
    params,
    clipNames.map(([own, published]) => [own, `vision_model.${published}`] as const),
  );
  const side = clip.imageSizePx;
  const pixels = input("pixel_values", "float32", ["V", clip.numChannels, side, side]);
  const taps = Taps.create();
  const last = clipHiddenState(params, pixels, clip, -1, taps);

  const outputs: Record<string, Tensor> = {};
  for (const name of recorded.keys()) {
    const rule = tapNames.find(([pattern]) => pattern.test(name));
    const tapped = rule && taps.tensors.get(name.replace(rule[0], rule[1]));
    const selected = /^features_select_(-?\d+)_patch$/.exec(name)?.[1];
    if (tapped !== undefined) outputs[name] = tapped;
    else if (name === "last_hidden_state") outputs[name] = last;
    else if (name === "pooler_output") outputs[name] = clipPooled(params, last, clip);
    else if (selected !== undefined) {
      outputs[name] = dropClassToken(clipHiddenState(params, pixels, clip, Number(selected)));
    }
  }
  const pixelValues = recorded.get("pixel_values");
  if (pixelValues === undefined) return { tensors: new Map(), inputs: new Set() };
  const session = await engine.open(createGraph("verify.clip", outputs), parameters);
  const results = await session.run({ pixel_values: pixelValues });
  await session.close();
  return { tensors: new Map(Object.entries(results)), inputs: new Set(["pixel_values"]) };
};
