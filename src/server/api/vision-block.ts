import type { Answer, Usage } from "../../generate/answer.js";
import type { MediaReport } from "../../generate/media.js";
import type { ServedCost } from "../serving/worker-messages.js";

const round = (value: number, digits: number): number => Number(value.toFixed(digits));

const mediumBlock = (report: MediaReport) => ({
  type: report.type,
  width: report.size.width,
  height: report.size.height,
  tokens: report.tokens,
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
export const visionPlan = (system: string, media: readonly MediaReport[], cost: ServedCost) => ({
  system,
  media: media.map(mediumBlock),
  patches: cost.patches,
  flops: cost.flops,
  bytes: { kv_cache: cost.bytes.kvCache, weights: cost.bytes.weights },
});

/** The same with what was done. */
export const visionResult = (system: string, answer: Answer, cost: ServedCost) => ({
  ...visionPlan(system, answer.media, cost),
  images_seen: answer.views.total,
  images_cached: answer.views.cached,
  encode_ms: round(answer.timings.visionMs, 3),
  fusion_ms: round(answer.timings.fusionMs, 3),
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
