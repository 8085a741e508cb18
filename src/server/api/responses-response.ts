import type { Answer } from "../../generate/answer.js";
import type { AnswerHead, AnswerParts } from "./answer-stream.js";
import type { ApiError } from "./api-error.js";
import type { ResponsesRequest } from "./responses-request.js";
import { responsesUsage, timingsBlock, visionPlan, visionResult } from "./vision-block.js";

type End = Extract<AnswerParts, { type: "end" }>;

const messageId = ({ id }: AnswerHead): string => `msg_${id.slice(id.indexOf("_") + 1)}`;

const textPart = (text: string) => ({
  type: "output_text",
  text,
  annotations: [],
  logprobs: [],
});

const messageItem = (head: AnswerHead, status: string, content: readonly object[]) => ({
  id: messageId(head),
  type: "message",
  role: "assistant",
  status,
  content,
});

const frame = (head: AnswerHead, request: ResponsesRequest) => ({
  id: head.id,
  object: "response",
  created_at: head.created,
  model: head.model,
  error: null,
  incomplete_details: null,
  instructions: request.instructions ?? null,
  max_output_tokens: request.max_output_tokens ?? null,
  metadata: request.metadata ?? {},
  parallel_tool_calls: false,
  previous_response_id: null,
  // Nothing is kept: a conversation sends its messages again.
  store: false,
  temperature: request.temperature ?? 0,
  top_p: request.top_p ?? 1,
  text: { format: { type: "text" } },
  tool_choice: "none",
  tools: [],
  truncation: "disabled",
});

const endingOf = ({ finishReason }: Answer) =>
  finishReason === "length"
    ? { status: "incomplete", incomplete_details: { reason: "max_output_tokens" } }
    : { status: "completed" };

/** A whole answer as a `response`. */
export const responseObject = (
  head: AnswerHead,
  request: ResponsesRequest,
  { answer, looks, queuedMs }: End,
) => {
  const ending = endingOf(answer);
  return {
    ...frame(head, request),
    ...ending,
    output: [messageItem(head, ending.status, [textPart(answer.text)])],
    usage: responsesUsage(answer.usage),
    seed: answer.seed,
    timings: timingsBlock(answer, queuedMs),
    vision: visionResult(head.system, answer, looks),
  };
};

/** Writes the events of one streamed response, numbered in order. */
export const createResponseEvents = (head: AnswerHead, request: ResponsesRequest) => {
  let sequenceNumber = 0;
  const event = (type: string, more: object) => ({
    type,
    sequence_number: sequenceNumber++,
    ...more,
  });
  const place = { item_id: messageId(head), output_index: 0, content_index: 0 };

  return {
    of: (part: AnswerParts): readonly { readonly type: string }[] => {
      if (part.type === "start") {
        const { media, cost, looks } = part.event;
        const vision = visionPlan(head.system, media, looks, cost);
        const response = {
          ...frame(head, request),
          status: "in_progress",
          output: [],
          usage: null,
          vision,
        };
        return [
          event("response.created", { response }),
          event("response.in_progress", { response }),
          event("response.output_item.added", {
            output_index: 0,
            item: messageItem(head, "in_progress", []),
          }),
          event("response.content_part.added", { ...place, part: textPart("") }),
        ];
      }
      if (part.type === "text") {
        return [event("response.output_text.delta", { ...place, delta: part.text, logprobs: [] })];
      }
      const response = responseObject(head, request, part);
      const { text } = part.answer;
      const isWhole = response.status === "completed";
      return [
        event("response.output_text.done", { ...place, text, logprobs: [] }),
        event("response.content_part.done", { ...place, part: textPart(text) }),
        event("response.output_item.done", { output_index: 0, item: response.output[0] }),
        event(isWhole ? "response.completed" : "response.incomplete", { response }),
      ];
    },
    failed: (error: ApiError) => {
      const { code } = error.details;
      const { message } = error;
      const failure = {
        ...frame(head, request),
        status: "failed",
        output: [],
        usage: null,
        error: { code, message },
      };
      return [
        event("error", { code, message, param: error.details.param ?? null }),
        event("response.failed", { response: failure }),
      ];
    },
  };
};
