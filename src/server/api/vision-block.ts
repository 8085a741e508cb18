import type { Answer, Usage } from "../../generate/answer.js";
import type { MediaReport } from "../../generate/media.js";
import type { TokenChoice } from "../../systems/token-choice.js";
import type { AppliedLook, ServedAnswer, ServedCost } from "../serving/worker-messages.js";
import type { LookOptions } from "./request-schema.js";

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

/** Undefined where nothing was asked, or chosen. */
const orUndefined = <Value extends object>(value: Value): Value | undefined =>
  Object.keys(value).length > 0 ? value : undefined;

const lookBlock = (look: LookOptions) => ({
  detail: look.detail,
  granularity: look.granularity,
  max_soft_tokens: look.maxSoftTokens,
  max_slice_nums: look.maxSlices,
  downsample_mode: look.downsampleMode,
  min_pixels: look.minPixels,
  max_pixels: look.maxPixels,
});

const choiceBlock = ({ detail, granularity, maxSoftTokens, slicing }: TokenChoice) => ({
  detail,
  granularity,
  max_soft_tokens: maxSoftTokens,
  max_slice_nums: slicing?.maxSlices,
  downsample_mode: slicing?.downsampleMode,
});

const awaitsRouter = ({ tokenOptions, routes }: MediaReport): boolean =>
  routes === undefined && tokenOptions !== undefined && tokenOptions.allowed.length > 1;

const mediumBlock = (report: MediaReport, { asked, choice, original }: AppliedLook) => ({
  type: report.type,
  /** As it was looked at; `original` is there where the request had it resized first. */
  width: report.size.width,
  height: report.size.height,
  original,
  tokens: report.tokens,
  /** What was asked, and what of it this model has a choice about. */
  asked: orUndefined(asked) && lookBlock(asked),
  applied: orUndefined(choice) && choiceBlock(choice),
  granularities: report.tokenOptions?.all,
  /** There while a router is still to choose: `tokens` is the most that it may. */
  ...(awaitsRouter(report) && { awaits_router: true }),
  routes: report.routes?.map(({ granularity, tokens, chosenBy, probabilities }) => ({
    granularity,
    tokens,
    chosen_by: chosenBy,
    probabilities,
  })),
  views: report.views.map(({ role, width, height, box }) => ({
    role,
    width,
    height,
    /** What the view shows, in pixels of the original. */
    box: box
      ? {
          left: round(box.left, 2),
          top: round(box.top, 2),
          width: round(box.width, 2),
          height: round(box.height, 2),
        }
      : null,
  })),
  ...(report.frames && {
    frames: {
      sampled: report.frames.sampled,
      wanted: report.frames.wanted,
      total: report.frames.total,
      is_capped: report.frames.isCapped,
    },
  }),
});

/** What is done to the media of a request and what that costs, as planned. */
export const visionPlan = (
  system: string,
  media: readonly MediaReport[],
  looks: readonly AppliedLook[],
  cost: ServedCost,
) => ({
  system,
  media: media.map((report, index) => mediumBlock(report, looks[index])),
  patches: cost.patches,
  flops: cost.flops,
  bytes: {
    kv_cache: cost.bytes.kvCache,
    weights: cost.bytes.weights,
    /** What a process that does nothing else takes at most. */
    peak: cost.bytes.peak,
  },
});

/** The same with what was done. */
export const visionResult = (
  system: string,
  answer: ServedAnswer,
  looks: readonly AppliedLook[],
) => ({
  ...visionPlan(system, answer.media, looks, answer.cost),
  images_seen: answer.views.total,
  images_cached: answer.views.cached,
  encode_ms: round(answer.timings.visionMs, 3),
  fusion_ms: round(answer.timings.fusionMs, 3),
  ...(answer.timings.routerMs !== undefined && { router_ms: round(answer.timings.routerMs, 3) }),
});

/** llama-server's figures, and ours for vision. */
export const timingsBlock = ({ timings, usage }: Answer, queuedMs: number) => {
  const read = usage.promptTokens - usage.cachedTokens;
  const perSecond = (count: number, ms: number): number =>
    ms > 0 ? round((1000 * count) / ms, 2) : 0;
  return {
    queue_ms: round(queuedMs, 3),
    vision_ms: round(timings.visionMs + timings.fusionMs, 3),
    prompt_n: read,
    prompt_ms: round(timings.prefillMs, 3),
    prompt_per_second: perSecond(read, timings.prefillMs),
    first_token_ms: round(queuedMs + timings.firstTokenMs, 3),
    predicted_n: usage.completionTokens,
    predicted_ms: round(timings.decodeMs, 3),
    predicted_per_second: round(timings.tokensPerSecond, 2),
  };
};

export const chatUsage = (usage: Usage) => ({
  prompt_tokens: usage.promptTokens,
  completion_tokens: usage.completionTokens,
  total_tokens: usage.promptTokens + usage.completionTokens,
  prompt_tokens_details: {
    text_tokens: usage.textTokens,
    image_tokens: usage.imageTokens,
    video_tokens: usage.videoTokens,
    audio_tokens: 0,
    cached_tokens: usage.cachedTokens,
  },
});

export const responsesUsage = (usage: Usage) => ({
  input_tokens: usage.promptTokens,
  input_tokens_details: {
    text_tokens: usage.textTokens,
    image_tokens: usage.imageTokens,
    video_tokens: usage.videoTokens,
    cached_tokens: usage.cachedTokens,
  },
  output_tokens: usage.completionTokens,
  output_tokens_details: { reasoning_tokens: 0 },
  total_tokens: usage.promptTokens + usage.completionTokens,
});
