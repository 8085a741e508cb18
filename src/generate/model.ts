import { LimitError, OptionsError, PromptError } from "../errors.js";
import type { Engine } from "../graph/index.js";
import type { EncodedPrompt, Encoder, MediaInput, OpenGraph } from "../systems/encoder.js";
import type { ImageProcessorConfig } from "../systems/image-processing.js";
import type { System } from "../systems/system.js";
import type { ChatMessage } from "../text/chat-message.js";
import type { ChatTemplate } from "../text/llava-templates.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type { Answer, AnswerEvent, GenerateOptions, GenerateRequest } from "./answer.js";
import { AnswerWriter } from "./answer-writer.js";
import type { Decoder, DecoderCache } from "./decoder.js";
import {
  checkMediaParts,
  type Media,
  type MediaPreparation,
  type MediaReport,
  withRoutes,
} from "./media.js";
import { PrefixCache, type PrefixCacheOptions } from "./prefix-cache.js";
import { checkContext, countPromptTokens, type TokenisedPrompt, tokenisePrompt } from "./prompt.js";
import { createSampler, type Sampler } from "./sampling.js";
import { createSequenceBatch } from "./sequence-batch.js";

/** The parts that a loaded model is made of. */
export type ModelParts = {
  readonly name: string;
  readonly system: System;
  readonly processor: ImageProcessorConfig;
  readonly engine: Engine;
  /** Opens a graph over the model's parameters. */
  readonly open: OpenGraph;
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly media: MediaPreparation;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Bytes of earlier prompts' keys and values to keep for new ones; default 0. */
  readonly prefixCacheBytes?: number;
  readonly close: () => Promise<void>;
};

/** Counts of a prompt, known before anything runs. */
export type PromptCount = {
  readonly textTokens: number;
  readonly imageTokens: number;
  readonly videoTokens: number;
  readonly promptTokens: number;
  readonly media: readonly MediaReport[];
};

/** A request's prompt as the language model reads it, with what it was made of. */
export type EncodedRequest = {
  /** Token ids, `imagePlaceholderId` where a medium goes, or each of its views. */
  readonly ids: readonly number[];
  /** Which of them are earlier answers of the model. */
  readonly isAnswer: readonly boolean[];
  readonly media: readonly MediaInput[];
  readonly encoded: EncodedPrompt;
  /** Exact counts, as in an answer. */
  readonly count: PromptCount;
};

/** A conversation on a loaded model; what earlier turns computed is used again where it is the same. */
export type Conversation = {
  readonly messages: readonly ChatMessage[];
  /** Asks, streams the answer, and adds both to the conversation once the answer is complete. */
  ask(
    content: ChatMessage["content"],
    media?: readonly Media[],
    options?: GenerateOptions,
  ): AsyncGenerator<AnswerEvent, Answer>;
  close(): Promise<void>;
};

export type VisionLanguageModel = {
  readonly name: string;
  readonly system: System;
  /** How images become views; with `system`, what `estimateCost` prices. */
  readonly processor: ImageProcessorConfig;
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Opens a graph over the model's own parameters, by their names; whoever opens it closes it. */
  readonly open: OpenGraph;
  /** Most tokens of a prompt and its answer. */
  readonly contextLength: number;
  /**
   * Tokens of a request without running it: exactly what generation then uses, or where a router is to
   * choose (`tokenOptions` of a medium) the most that it may.
   */
  count(request: GenerateRequest): PromptCount;
  /** Encodes a request's prompt as an answer to it does, and stops there. */
  encode(request: GenerateRequest): Promise<EncodedRequest>;
  /** Streams an answer; the generator's return value is the whole `Answer`. */
  stream(request: GenerateRequest): AsyncGenerator<AnswerEvent, Answer>;
  /** The whole answer at once. */
  answer(request: GenerateRequest): Promise<Answer>;
  /**
   * Several requests at once; each answer equals that of the request alone. What is asked at the same
   * time is always decoded together; here, aborting any of the requests ends them all.
   */
  answerBatch(requests: readonly GenerateRequest[]): Promise<Answer[]>;
  startConversation(system?: string): Conversation;
  /** What is being answered at the moment, and what is kept for later. */
  load(): ModelLoad;
  close(): Promise<void>;
};

export type ModelLoad = {
  /** Answers decoded together. */
  readonly numSequences: number;
  /** Tokens that they hold in the key-value cache. */
  readonly cachedTokens: number;
  /** Bytes of earlier prompts kept for new ones. */
  readonly prefixCacheBytes: number;
};

/** Runs a streamed answer to its end. */
export const collectAnswer = async (
  events: AsyncGenerator<AnswerEvent, Answer>,
): Promise<Answer> => {
  for (;;) {
    const next = await events.next();
    if (next.done) return next.value;
  }
};

const defaultMaxTokens = 512;

const parseMaxTokens = (maxTokens = defaultMaxTokens): number => {
  if (!Number.isInteger(maxTokens) || maxTokens < 1) {
    throw new OptionsError(`generate: maxTokens must be 1 or more, got ${maxTokens}`);
  }
  return maxTokens;
};

/** A request after planning: everything that can be refused has been. */
type PlannedRequest = {
  readonly request: GenerateRequest;
  readonly media: readonly Media[];
  readonly prompt: TokenisedPrompt;
  readonly count: PromptCount;
  readonly sampler: Sampler;
  /** Writes the answer to a prompt of so many tokens. */
  readonly writerAfter: (promptTokens: number) => AnswerWriter;
};

export const createModel = (parts: ModelParts): VisionLanguageModel => {
  const { system, encoder, decoder, tokenizer, template } = parts;
  const batch = createSequenceBatch(decoder);
  const createPrefixCache = (options: PrefixCacheOptions): PrefixCache =>
    new PrefixCache(decoder, system.language.width, options);
  const sharedPrompts = createPrefixCache({ maxBytes: parts.prefixCacheBytes ?? 0 });

  const plan = (request: GenerateRequest): PlannedRequest => {
    const { choice } = request;
    const media = (request.media ?? []).map((item) => ({ ...(choice && { choice }), ...item }));
    const { contextLength } = decoder;
    const written = tokenisePrompt(request.messages, template, tokenizer, request, contextLength);
    checkMediaParts(written.mediaParts, media);
    const prompt = parts.media.layOut?.(written, media, tokenizer) ?? written;
    if (system.readsAnswers && !prompt.knowsAnswers) {
      throw new PromptError(
        'generate: earlier answers must be told apart for earlierAnswers "raw", and this chat template rewrites them; choose another template, or "fused"',
      );
    }
    if (media.length > system.maxMedia) {
      throw new PromptError(
        `generate: ${system.config.system} takes ${system.maxMedia} image or video in a conversation, got ${media.length}; ` +
          "give several images as the frames of a video, or use another system",
      );
    }
    const reports = media.map((item) => parts.media.plan(item));
    const count = countWith(prompt, reports);
    checkContext(count.promptTokens, decoder.contextLength);
    const wanted = parseMaxTokens(request.maxTokens);
    const sampler = createSampler(request);
    const writerAfter = (promptTokens: number): AnswerWriter =>
      new AnswerWriter({
        tokenizer,
        sampler,
        promptIds: prompt.ids.filter((id) => id >= 0),
        maxTokens: Math.min(wanted, decoder.contextLength - promptTokens),
        endIds: new Set([...tokenizer.eosIds, ...(request.stopIds ?? [])]),
        stopStrings: [...template.stopStrings, ...(request.stopStrings ?? [])],
      });
    // What it refuses is told before anything runs.
    writerAfter(count.promptTokens);
    return { request, media, prompt, count, sampler, writerAfter };
  };

  /** Encodes the prompt; returns its exact count, which a router may have made smaller. */
  const encode = async ({
    request,
    media,
    prompt,
    count: planned,
  }: PlannedRequest): Promise<EncodedRequest> => {
    const prepared: MediaInput[] = [];
    for (const item of media) prepared.push((await parts.media.prepare(item)).input);
    const encoded = await encoder.encodePrompt(prompt.ids, prepared, {
      signal: request.signal,
      isAnswer: prompt.isAnswer,
      onProgress: request.onProgress,
    });
    const count = countWith(prompt, withRoutes(planned.media, encoded.routes));
    if (encoded.embeddings.shape[1] !== count.promptTokens) {
      throw new LimitError(
        `generate: ${count.promptTokens} tokens were planned and ${encoded.embeddings.shape[1]} produced; the plan of ${system.config.system} is wrong`,
      );
    }
    return { ids: prompt.ids, isAnswer: prompt.isAnswer, media: prepared, encoded, count };
  };

  /** Streams one answer; `prompts` may already hold part of the prompt. */
  async function* streamPlanned(
    planned: PlannedRequest,
    prompts: PrefixCache,
    startedMs: number,
  ): AsyncGenerator<AnswerEvent, Answer> {
    const { request, sampler } = planned;
    const { signal, cacheScope } = request;
    const { promptTokens, media } = planned.count;
    yield { type: "start", promptTokens, media };
    const { encoded, count } = await encode(planned);
    if (encoded.routes?.flat().some(({ chosenBy }) => chosenBy === "router")) {
      yield { type: "routed", promptTokens: count.promptTokens, media: count.media };
    }
    const writer = planned.writerAfter(count.promptTokens);
    const { embeddings } = encoded;
    const { cache, cachedTokens, rest } = await prompts.open(embeddings, cacheScope);
    let kept: DecoderCache | undefined = cache;
    let prefillMs = 0;
    try {
      const prefillStartedMs = performance.now();
      const scores = await decoder.prefill(cache, 0, rest, signal);
      prefillMs = performance.now() - prefillStartedMs;
      const run = batch.continueSequence(cache, scores, writer, signal);
      try {
        for await (const { text } of run.tokens) if (text !== "") yield { type: "text", text };
      } finally {
        kept = await run.cache;
      }
    } finally {
      if (kept !== undefined) await prompts.keep(kept, embeddings, writer.ids, cacheScope);
    }
    const decodeMs = writer.lastAtMs - writer.firstAtMs;
    return {
      text: writer.text,
      ids: writer.ids,
      finishReason: writer.finishReason ?? "length",
      stopString: writer.stopString,
      usage: { ...usageOf(count), cachedTokens, completionTokens: writer.ids.length },
      views: {
        total: count.media.reduce((sum, { frames }) => sum + (frames?.sampled ?? 1), 0),
        cached: encoded.cachedViews,
      },
      media: count.media,
      timings: {
        ...encoded.timings,
        prefillMs,
        firstTokenMs: writer.firstAtMs - startedMs,
        decodeMs,
        tokensPerSecond: decodeMs > 0 ? (1000 * (writer.ids.length - 1)) / decodeMs : 0,
      },
      seed: sampler.seed,
    };
  }

  async function* streamOn(
    prompts: PrefixCache,
    request: GenerateRequest,
  ): AsyncGenerator<AnswerEvent, Answer> {
    const startedMs = performance.now();
    return yield* streamPlanned(plan(request), prompts, startedMs);
  }

  const stream = (request: GenerateRequest) => streamOn(sharedPrompts, request);

  const answerBatch = async (requests: readonly GenerateRequest[]): Promise<Answer[]> => {
    const startedMs = performance.now();
    const failed = new AbortController();
    const given = requests.flatMap(({ signal }) => (signal === undefined ? [] : [signal]));
    const signal = AbortSignal.any([failed.signal, ...given]);
    signal.throwIfAborted();
    const answers = requests
      .map((request) => plan({ ...request, signal }))
      .map((planned) => collectAnswer(streamPlanned(planned, sharedPrompts, startedMs)));
    try {
      return await Promise.all(answers);
    } catch (error) {
      failed.abort(error);
      await Promise.allSettled(answers);
      throw error;
    }
  };

  const startConversation = (systemText?: string): Conversation => {
    const messages: ChatMessage[] =
      systemText === undefined ? [] : [{ role: "system", content: systemText }];
    const allMedia: Media[] = [];
    const prompts = createPrefixCache({ maxBytes: Number.POSITIVE_INFINITY, maxEntries: 1 });
    let isAnswering = false;
    return {
      messages,
      async *ask(content, media = [], options = {}) {
        if (isAnswering) {
          throw new PromptError(
            "ask: a conversation must have one question at a time, got another while its answer is not complete; finish or leave that stream first, or start a second conversation",
          );
        }
        isAnswering = true;
        try {
          const asked: ChatMessage[] = [...messages, { role: "user", content }];
          const request = { ...options, messages: asked, media: [...allMedia, ...media] };
          const answer = yield* streamOn(prompts, request);
          const said: ChatMessage = { role: "assistant", content: answer.text };
          messages.splice(0, messages.length, ...asked, said);
          allMedia.push(...media);
          return answer;
        } finally {
          isAnswering = false;
        }
      },
      close: () => prompts.release(),
    };
  };

  return {
    name: parts.name,
    system,
    processor: parts.processor,
    engine: parts.engine,
    tokenizer,
    template,
    open: parts.open,
    contextLength: decoder.contextLength,
    count: (request) => plan(request).count,
    encode: async (request) => encode(plan(request)),
    stream,
    answer: (request) => collectAnswer(stream(request)),
    answerBatch,
    startConversation,
    load: () => ({
      numSequences: batch.size,
      cachedTokens: batch.cachedTokens,
      prefixCacheBytes: sharedPrompts.bytes,
    }),
    close: parts.close,
  };
};

/** Counts of a prompt whose media take what `reports` say. */
const countWith = ({ ids }: TokenisedPrompt, reports: readonly MediaReport[]): PromptCount => {
  const tokens = countPromptTokens(
    ids,
    reports.map((report) => report.tokens),
  );
  const tokensOf = (type: MediaReport["type"]): number =>
    reports.reduce((sum, report) => sum + (report.type === type ? report.tokens : 0), 0);
  return {
    textTokens: tokens.text,
    imageTokens: tokensOf("image"),
    videoTokens: tokensOf("video"),
    promptTokens: tokens.total,
    media: reports,
  };
};

const usageOf = ({ promptTokens, textTokens, imageTokens, videoTokens }: PromptCount) => ({
  promptTokens,
  textTokens,
  imageTokens,
  videoTokens,
});
