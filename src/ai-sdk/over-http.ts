import { APICallError, type JSONObject, type LanguageModelV3 } from "@ai-sdk/provider";
import { EventSourceParserStream } from "eventsource-parser/stream";
import { z } from "zod";
import { createLanguageModel } from "./language-model.js";
import type { SdkAnswering } from "./sdk-answer.js";
import type { SdkLookOptions, SdkPart, SdkRequest } from "./sdk-request.js";

export type SaccadeProviderOptions = {
  /** Default `http://127.0.0.1:8080/v1`, where `saccade serve` listens. */
  readonly baseURL?: string;
  readonly apiKey?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly fetch?: typeof globalThis.fetch;
};

const chunkSchema = z.object({
  error: z.object({ message: z.string(), code: z.string().nullish() }).optional(),
  choices: z
    .array(
      z.object({
        delta: z.object({ content: z.string().nullish() }),
        finish_reason: z.enum(["stop", "length"]).nullish(),
      }),
    )
    .default([]),
  usage: z
    .object({
      prompt_tokens: z.number(),
      completion_tokens: z.number(),
      prompt_tokens_details: z.object({ cached_tokens: z.number().default(0) }).optional(),
    })
    .nullish(),
  vision: z.unknown().optional(),
  timings: z.unknown().optional(),
  seed: z.number().optional(),
});

const wireLook = (look: SdkLookOptions) => ({
  detail: look.detail,
  granularity: look.granularity,
  max_soft_tokens: look.maxSoftTokens,
  max_slice_nums: look.maxSlices,
  downsample_mode: look.downsampleMode,
});

const base64Of = (bytes: Uint8Array): string => {
  let text = "";
  for (let start = 0; start < bytes.length; start += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(start, start + 0x8000));
  }
  return btoa(text);
};

const wirePart = (part: SdkPart) => {
  if (part.type === "text") return part;
  const { data, mediaType } = part;
  const type = mediaType.endsWith("/*") ? mediaType.replace("*", "octet-stream") : mediaType;
  const url = data instanceof URL ? data.href : `data:${type};base64,${base64Of(data)}`;
  return part.type === "image"
    ? { type: "image_url", image_url: { url, ...wireLook(part.look) } }
    : { type: "video_url", video_url: { url } };
};

const bodyOf = (model: string, { messages, look, options }: SdkRequest) => ({
  model,
  messages: messages.map(({ role, parts }) => ({ role, content: parts.map(wirePart) })),
  stream: true,
  stream_options: { include_usage: true },
  max_tokens: options.maxTokens,
  temperature: options.temperature,
  top_p: options.topP,
  top_k: options.topK,
  seed: options.seed,
  stop: options.stopStrings,
  mm_processor_kwargs: wireLook(look),
});

/** Models of a server (`saccade serve`) as language models of the AI SDK, by their ids. */
export const createSaccade = ({
  baseURL = "http://127.0.0.1:8080/v1",
  apiKey,
  headers: own = {},
  fetch = globalThis.fetch,
}: SaccadeProviderOptions = {}): ((modelId: string) => LanguageModelV3) => {
  const url = `${baseURL.replace(/\/+$/, "")}/chat/completions`;

  return (modelId) => {
    async function* answer(
      request: SdkRequest,
      {
        abortSignal,
        headers = {},
      }: Parameters<Parameters<typeof createLanguageModel>[0]["answer"]>[1],
    ): SdkAnswering {
      const body = bodyOf(modelId, request);
      const given = Object.entries({ ...own, ...headers }).filter(
        ([, value]) => value !== undefined,
      );
      const sent = {
        "content-type": "application/json",
        ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
        ...(Object.fromEntries(given) as Record<string, string>),
      };
      const failed = (
        message: string,
        response?: Response,
        responseBody?: string,
        cause?: unknown,
      ) =>
        new APICallError({
          message,
          url,
          requestBodyValues: body,
          ...(response && {
            statusCode: response.status,
            responseHeaders: Object.fromEntries(response.headers),
          }),
          ...(responseBody !== undefined && { responseBody }),
          cause,
          // Without an answer nobody knows; the SDK tries again.
          ...(response === undefined && { isRetryable: true }),
        });

      const init = { method: "POST", headers: sent, body: JSON.stringify(body) };
      const response = await fetch(url, {
        ...init,
        ...(abortSignal && { signal: abortSignal }),
      }).catch((cause: unknown) => {
        abortSignal?.throwIfAborted();
        throw failed(`saccade: no answer from ${url}`, undefined, undefined, cause);
      });
      if (!response.ok || response.body === null) {
        const text = await response.text();
        const told = /"message":("(?:[^"\\]|\\.)*")/.exec(text)?.[1];
        throw failed(told === undefined ? response.statusText : JSON.parse(told), response, text);
      }
      const events = response.body
        .pipeThrough(new TextDecoderStream())
        .pipeThrough(new EventSourceParserStream());
      let finishReason: "stop" | "length" | undefined;
      let usage: z.infer<typeof chunkSchema>["usage"];
      let metadata: JSONObject = {};
      for await (const { data } of events) {
        if (data === "[DONE]") break;
        const parsed = chunkSchema.safeParse(JSON.parse(data));
        if (!parsed.success) {
          throw failed("saccade: the server sent something else than an answer", response, data);
        }
        const chunk = parsed.data;
        if (chunk.error !== undefined) throw failed(chunk.error.message, response, data);
        const [choice] = chunk.choices;
        usage = chunk.usage ?? usage;
        if (choice === undefined) continue;
        if (choice.finish_reason) {
          finishReason = choice.finish_reason;
          const { vision, timings, seed } = chunk;
          metadata = { vision, timings, seed } as JSONObject;
        }
        if (choice.delta.content) yield choice.delta.content;
      }
      if (finishReason === undefined || !usage) {
        throw failed("saccade: the answer broke off", response);
      }
      return {
        finishReason,
        usage: {
          promptTokens: usage.prompt_tokens,
          cachedTokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
          completionTokens: usage.completion_tokens,
        },
        metadata,
      };
    }
    // Addresses would be for the server to fetch, which it does not by default: the SDK fetches them.
    return createLanguageModel({ provider: "saccade", modelId, supportedUrls: {}, answer });
  };
};
