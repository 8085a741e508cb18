/** Answers over HTTP: the server's own OpenAI-style interface. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { Attachment, Budget } from "../data/conversation.js";
import type { Figures, Plan, SeenMedium } from "../data/figures.js";
import { dataUrlOf } from "../data/history.js";
import { postJson, ServerError } from "../data/server.js";
import type { Answerer, Asked } from "./answerer.js";

type WireRoute = {
  readonly granularity: number;
  readonly tokens: number;
  readonly chosen_by: string;
  readonly probabilities?: readonly number[];
};

/** The `vision` block, as far as it is shown. */
type WireVision = {
  readonly media: readonly (Pick<SeenMedium, "type" | "width" | "height" | "tokens" | "views"> & {
    readonly granularities?: SeenMedium["granularities"];
    readonly routes?: readonly WireRoute[];
    readonly awaits_router?: true;
    readonly frames?: SeenMedium["frames"];
    readonly original?: { readonly width: number; readonly height: number };
  })[];
  readonly flops: { readonly total: number };
  readonly bytes: { readonly kv_cache: number; readonly weights: number; readonly peak: number };
};

const planOf = (vision: WireVision, promptTokens: number): Plan => ({
  promptTokens,
  visionTokens: vision.media.reduce((sum, { tokens }) => sum + tokens, 0),
  media: vision.media.map(({ type, width, height, tokens, views, ...rest }) => ({
    type,
    width,
    height,
    tokens,
    views,
    granularities: rest.granularities ?? [],
    routes: (rest.routes ?? []).map(({ chosen_by, ...route }) => ({
      ...route,
      chosenBy: chosen_by,
    })),
    awaitsRouter: rest.awaits_router === true,
    ...(rest.frames && { frames: rest.frames }),
  })),
  flops: vision.flops.total,
  kvBytes: vision.bytes.kv_cache,
  weightBytes: vision.bytes.weights,
  peakBytes: vision.bytes.peak,
});

/** Media that the server has been sent, by id; it keeps them under that name for a while. */
const sent = new Set<string>();

const mediaPart = async ({ id, kind, blob }: Attachment): Promise<object> => {
  const content = sent.has(id) ? null : { url: await dataUrlOf(blob) };
  return kind === "image"
    ? { type: "image_url", image_url: content, uuid: id }
    : { type: "video_url", video_url: content, uuid: id };
};

const lookOf = ({ granularity, maxSlices, downsampleMode }: Budget) => ({
  ...(granularity !== undefined && { granularity }),
  ...(maxSlices !== undefined && { max_slice_nums: maxSlices }),
  ...(downsampleMode !== undefined && { downsample_mode: downsampleMode }),
});

const bodyOf = async (model: string, asked: Asked): Promise<object> => {
  const messages: object[] =
    asked.systemText === "" ? [] : [{ role: "system", content: asked.systemText }];
  for (const { role, text, media } of asked.messages) {
    if (media.length === 0) {
      messages.push({ role, content: text });
      continue;
    }
    const content: object[] = [];
    for (const item of media) content.push(await mediaPart(item));
    messages.push({ role, content: [...content, { type: "text", text }] });
  }
  return {
    model,
    messages,
    mm_processor_kwargs: lookOf(asked.budget),
    temperature: asked.temperature,
    max_completion_tokens: asked.maxTokens,
  };
};

/** Sends a question; media that the server has forgotten are sent once more. */
const send = async (
  path: string,
  model: string,
  asked: Asked,
  more: object,
  signal: AbortSignal,
): Promise<Response> => {
  const ids = asked.messages.flatMap(({ media }) => media.map(({ id }) => id));
  const post = async () =>
    postJson(path, { ...(await bodyOf(model, asked)), ...more }, signal).then((response) => {
      for (const id of ids) sent.add(id);
      return response;
    });
  try {
    return await post();
  } catch (error) {
    if (!(error instanceof ServerError) || error.code !== "media_not_found") throw error;
    for (const id of ids) sent.delete(id);
    return post();
  }
};

type WireUsage = {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
};
type WireTimings = {
  readonly vision_ms: number;
  readonly first_token_ms: number;
  readonly predicted_per_second: number;
};
type WireChunk = {
  readonly choices?: readonly {
    readonly delta: { readonly content?: string };
    readonly finish_reason: string | null;
  }[];
  readonly vision?: WireVision;
  readonly timings?: WireTimings;
  readonly usage?: WireUsage | null;
  readonly error?: { readonly message: string; readonly code: string };
};

export const createServerAnswerer = (model: string): Answerer => ({
  plan: async (asked, signal) => {
    const path = "v1/chat/completions/input_tokens";
    const counted = await (await send(path, model, asked, {}, signal)).json();
    const { vision, input_tokens } = counted as { vision: WireVision; input_tokens: number };
    return planOf(vision, input_tokens);
  },
  answer: async (asked, { onPlan, onText }, signal) => {
    const more = { stream: true, stream_options: { include_usage: true } };
    const response = await send("v1/chat/completions", model, asked, more, signal);
    const events = response.body
      ?.pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream());
    let [vision, timings, usage, isCut]: [
      WireVision | undefined,
      WireTimings | undefined,
      WireUsage | undefined,
      boolean,
    ] = [undefined, undefined, undefined, false];
    const reader = events?.getReader();
    for (;;) {
      const next = await reader?.read();
      if (next === undefined || next.done || next.value.data === "[DONE]") break;
      const chunk = JSON.parse(next.value.data) as WireChunk;
      if (chunk.error) throw new ServerError(chunk.error.message, 200, chunk.error.code);
      if (chunk.vision) {
        if (vision === undefined) onPlan(planOf(chunk.vision, 0));
        vision = chunk.vision;
      }
      timings = chunk.timings ?? timings;
      usage = chunk.usage ?? usage;
      const [choice] = chunk.choices ?? [];
      if (choice?.delta.content) onText(choice.delta.content);
      if (choice?.finish_reason === "length") isCut = true;
    }
    signal.throwIfAborted();
    if (!vision || !timings || !usage) throw new Error("The server ended the answer too early.");
    const figures: Figures = {
      ...planOf(vision, usage.prompt_tokens),
      answerTokens: usage.completion_tokens,
      cachedTokens: usage.prompt_tokens_details.cached_tokens,
      firstTokenMs: timings.first_token_ms,
      visionMs: timings.vision_ms,
      tokensPerSecond: timings.predicted_per_second,
      isCut,
    };
    return figures;
  },
});
