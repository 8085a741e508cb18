import {
  broadcast,
  concat,
  createGraph,
  input,
  type ParameterSource,
  reshape,
  type Tensor,
} from "../graph/index.js";
import { Taps } from "../nn/taps.js";
import { type AvgLlavaParams, routeImage } from "../systems/avg-llava.js";
import type { AvgLlavaConfig } from "../systems/avg-llava-config.js";
import { llavaVisualTokens } from "../systems/llava.js";
import { int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { numbersOf, type VerifyContext } from "./recorded.js";

export type RecordedRouter = {
  readonly config: AvgLlavaConfig;
  readonly params: AvgLlavaParams;
  readonly parameters: ParameterSource;
};

/** Our stages under their recorded names; all of them without the leading side of one sample. */
const stagesOf = (taps: ReadonlyMap<string, Tensor>, views: number): Record<string, Tensor> => {
  const stages: Record<string, Tensor> = {};
  const tap = (name: string): Tensor | undefined => taps.get(name);
  const add = (name: string, tensor: Tensor | undefined): void => {
    if (tensor !== undefined) stages[name] = reshape(tensor, tensor.shape.slice(1));
  };
  for (const [name, tensor] of taps) if (name.startsWith("pooled.")) add(name, tensor);
  add("router.text_scores", tap("text.scores"));
  add("router.text_selected", tap("text.selected"));
  add("router.text_filtered", tap("text.filtered"));
  add("router.logits_before_norm", tap("logitsBeforeNorm"));
  // The reference computes the text in every view; here it is computed once.
  const beside = (visual: Tensor | undefined, text: Tensor | undefined): Tensor | undefined => {
    if (visual === undefined || text === undefined) return undefined;
    const [rows, width] = text.shape.slice(-2);
    const everywhere = broadcast(reshape(text, [1, 1, rows, width]), [1, views, rows, width]);
    return concat([visual, everywhere], 2);
  };
  add("router.input", beside(tap("visual.input"), tap("text.filtered")));
  add("router.encoder_output", beside(tap("visual.encoded"), tap("text.encoded")));
  add("router.mlp_output", beside(tap("visual.votes"), tap("text.votes")));
  return stages;
};

/**
 * Where ours is another place of the same token as the recorded one, the recorded one: equal tokens
 * have equal scores, and the reference's sort leaves their order open.
 */
const sameTokens = (
  own: readonly number[],
  recorded: readonly number[],
  textIds: readonly number[],
): number[] =>
  recorded.map((place, index) => (textIds[place] === textIds[own[index]] ? place : own[index]));

/** Every stage of the router for one prompt about one image, by recorded name. */
export const produceRouterStages = async (
  { engine }: VerifyContext,
  { config, params, parameters }: RecordedRouter,
  { ids, pixels }: { readonly ids: readonly number[]; readonly pixels: TensorData },
  recordedOf: (name: string) => TensorData | undefined,
): Promise<Map<string, TensorData>> => {
  const textIds = ids.filter((id) => id !== imagePlaceholderId);
  const taps = Taps.create();
  const visionTaps = Taps.create();
  const tokens = llavaVisualTokens(
    params,
    input("pixels", "float32", pixels.shape),
    config,
    visionTaps,
  );
  const logits = routeImage(
    params,
    { tokens, ids: input("ids", "int64", [textIds.length]) },
    config,
    taps,
  );
  const features = visionTaps.tensors.get("features");
  const outputs = {
    projected: tokens,
    ...(features && { "vision.features": features }),
    ...stagesOf(taps.tensors, pixels.shape[0]),
    ...(logits && { "router.logits": reshape(logits, logits.shape.slice(1)) }),
  };
  const session = await engine.open(createGraph("verify.router", outputs), parameters);
  const results = await session.run({ pixels, ids: int64([textIds.length], textIds) });
  await session.close();
  const stages = new Map(Object.entries(results));
  const selected = recordedOf("router.text_selected");
  if (selected !== undefined) {
    const own = numbersOf(stages.get("router.text_selected") as TensorData);
    stages.set(
      "router.text_selected",
      int64(selected.shape, sameTokens(own, numbersOf(selected), textIds)),
    );
  }
  return stages;
};
