import type { AnswerHead, AnswerParts } from "./answer-stream.js";
import { chatUsage, timingsBlock, visionPlan, visionResult } from "./vision-block.js";

type End = Extract<AnswerParts, { type: "end" }>;

/** A whole answer as a `chat.completion`. */
export const chatCompletion = (head: AnswerHead, { answer, looks, queuedMs }: End) => ({
  id: head.id,
  object: "chat.completion",
  created: head.created,
  model: head.model,
  choices: [
    {
      index: 0,
      message: { role: "assistant", content: answer.text, refusal: null },
      logprobs: null,
      finish_reason: answer.finishReason,
      ...(answer.stopString !== undefined && { stop_reason: answer.stopString }),
    },
  ],
  usage: chatUsage(answer.usage),
  seed: answer.seed,
  timings: timingsBlock(answer, queuedMs),
  vision: visionResult(head.system, answer, looks),
});

/** The `chat.completion.chunk`s of one part of an answer. */
export const chatChunks = (
  head: AnswerHead,
  part: AnswerParts,
  { includesUsage }: { readonly includesUsage: boolean },
): readonly object[] => {
  const chunk = (delta: object, finishReason: string | null, more: object = {}) => ({
    id: head.id,
    object: "chat.completion.chunk",
    created: head.created,
    model: head.model,
    choices: [{ index: 0, delta, logprobs: null, finish_reason: finishReason }],
    ...(includesUsage && { usage: null }),
    ...more,
  });
  if (part.type === "start") {
    const { media, cost, looks } = part.event;
    const vision = visionPlan(head.system, media, looks, cost);
    return [chunk({ role: "assistant", content: "" }, null, { vision })];
  }
  if (part.type === "text") return [chunk({ content: part.text }, null)];
  const { answer, looks, queuedMs } = part;
  const last = chunk({}, answer.finishReason, {
    seed: answer.seed,
    timings: timingsBlock(answer, queuedMs),
    vision: visionResult(head.system, answer, looks),
  });
  if (!includesUsage) return [last];
  return [last, { ...chunk({}, null), choices: [], usage: chatUsage(answer.usage) }];
};
