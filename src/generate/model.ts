import { LimitError, OptionsError, PromptError } from "../errors.js";
import type { Engine } from "../graph/index.js";
import type { EncodedPrompt, Encoder } from "../systems/encoder.js";
import type { System } from "../systems/system.js";
import type { ChatMessage } from "../text/chat-message.js";
import type { ChatTemplate } from "../text/llava-templates.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type {
  Answer,
  AnswerEvent,
  FinishReason,
  GenerateOptions,
  GenerateRequest,
} from "./answer.js";
import { decodeSequences, type SequenceStart } from "./decode-sequences.js";
import type { Decoder } from "./decoder.js";
import { checkMediaParts, type Media, type MediaPreparation, type MediaReport } from "./media.js";
import { checkContext, countPromptTokens, type TokenisedPrompt, tokenisePrompt } from "./prompt.js";
import { PromptCache } from "./prompt-cache.js";
import { createSampler, type Sampler } from "./sampling.js";
import { createTextStream, type TextStream } from "./text-stream.js";

/** The parts that a loaded model is made of. */
export type ModelParts = {
  readonly name: string;
  readonly system: System;
  readonly engine: Engine;
  readonly encoder: Encoder;
  readonly decoder: Decoder;
  readonly media: MediaPreparation;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
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
  readonly engine: Engine;
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Most tokens of a prompt and its answer. */
  readonly contextLength: number;
  /** Tokens of a request without running it: exactly what generation then uses. */
  count(request: GenerateRequest): PromptCount;
  /** Streams an answer; the generator's return value is the whole `Answer`. */
  stream(request: GenerateRequest): AsyncGenerator<AnswerEvent, Answer>;
  /** The whole answer at once. */
  answer(request: GenerateRequest): Promise<Answer>;
  /**
   * Several requests decoded together; each answer equals that of the request alone. Aborting any of
   * them ends them all.
   */
  answerBatch(requests: readonly GenerateRequest[]): Promise<Answer[]>;
  startConversation(system?: string): Conversation;
  close(): Promise<void>;
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
  readonly prompt: TokenisedPrompt;
  readonly count: PromptCount;
  readonly sampler: Sampler;
  readonly maxTokens: number;
  readonly endIds: ReadonlySet<number>;
  readonly stream: TextStream;
};

export const createModel = (parts: ModelParts): VisionLanguageModel => {
  const { system, encoder, decoder, tokenizer, template } = parts;

  const plan = (request: GenerateRequest): PlannedRequest => {
    const media = request.media ?? [];
    const prompt = tokenisePrompt(request.messages, template, tokenizer, request);
    checkMediaParts(prompt.mediaParts, media);
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
    const tokens = countPromptTokens(
      prompt.ids,
      reports.map((report) => report.tokens),
    );
    const tokensOf = (type: MediaReport["type"]): number =>
      reports.reduce((sum, report) => sum + (report.type === type ? report.tokens : 0), 0);
    checkContext(tokens.total, decoder.contextLength);
    const wanted = parseMaxTokens(request.maxTokens);
    return {
      request,
      prompt,
      count: {
        textTokens: tokens.text,
        imageTokens: tokensOf("image"),
        videoTokens: tokensOf("video"),
        promptTokens: tokens.total,
        media: reports,
      },
      sampler: createSampler(request),
      maxTokens: Math.min(wanted, decoder.contextLength - tokens.total),
      endIds: new Set([...tokenizer.eosIds, ...(request.stopIds ?? [])]),
      stream: createTextStream(tokenizer, [
        ...template.stopStrings,
        ...(request.stopStrings ?? []),
      ]),
    };
  };

  const encode = async ({ request, prompt, count }: PlannedRequest): Promise<EncodedPrompt> => {
    const prepared = [];
    for (const item of request.media ?? []) prepared.push((await parts.media.prepare(item)).input);
    const encoded = await encoder.encodePrompt(prompt.ids, prepared, {
      signal: request.signal,
      isAnswer: prompt.isAnswer,
      onProgress: request.onProgress,
    });
    if (encoded.embeddings.shape[1] !== count.promptTokens) {
      throw new LimitError(
        `generate: ${count.promptTokens} tokens were planned and ${encoded.embeddings.shape[1]} produced; the plan of ${system.config.system} is wrong`,
      );
    }
    return encoded;
  };

  const startOf = (
    { sampler, prompt, maxTokens, endIds }: PlannedRequest,
    row: number,
    embeddings: EncodedPrompt["embeddings"],
  ): SequenceStart => ({
    row,
    embeddings,
    sampler,
    promptIds: prompt.ids.filter((id) => id >= 0),
    maxTokens,
    endIds,
    numTokens: tokenizer.vocabularySize,
  });

  /** Streams one answer on a cache that may already hold part of the prompt. */
  async function* streamOn(
    promptCache: PromptCache,
    request: GenerateRequest,
  ): AsyncGenerator<AnswerEvent, Answer> {
    const startedMs = performance.now();
    const planned = plan(request);
    yield { type: "start", promptTokens: planned.count.promptTokens, media: planned.count.media };
    const encoded = await encode(planned);
    const { cache, cachedTokens, rest } = await promptCache.open(
      encoded.embeddings,
      planned.maxTokens,
    );
    const run = decodeSequences(decoder, cache, [startOf(planned, 0, rest)], request.signal);
    const { stream } = planned;
    const ids: number[] = [];
    let text = "";
    let firstTokenMs = 0;
    let finishReason: FinishReason = "length";
    let stopString: string | undefined;
    try {
      for await (const { id, finish } of run.tokens) {
        if (ids.length === 0) firstTokenMs = performance.now() - startedMs;
        ids.push(id);
        // The end token itself says nothing.
        const piece = finish === "stop" ? { text: "" } : stream.push(id);
        if (piece.text !== "") {
          text += piece.text;
          yield { type: "text", text: piece.text };
        }
        if (piece.stop !== undefined) {
          stopString = piece.stop;
          run.finish(0);
        }
        if (finish !== undefined || piece.stop !== undefined) {
          finishReason = finish === "stop" || piece.stop !== undefined ? "stop" : "length";
        }
      }
    } finally {
      await promptCache.keep(encoded.embeddings, ids);
    }
    if (stopString === undefined) {
      const held = stream.finish();
      if (held !== "") {
        text += held;
        yield { type: "text", text: held };
      }
    }
    const decodeMs = performance.now() - startedMs - firstTokenMs;
    return {
      text,
      ids,
      finishReason,
      stopString,
      usage: { ...usageOf(planned.count), cachedTokens, completionTokens: ids.length },
      media: planned.count.media,
      timings: {
        ...encoded.timings,
        prefillMs: run.prefillMs(),
        firstTokenMs,
        decodeMs,
        tokensPerSecond: ids.length > 1 ? (1000 * (ids.length - 1)) / decodeMs : 0,
      },
      seed: planned.sampler.seed,
    };
  }

  async function* stream(request: GenerateRequest): AsyncGenerator<AnswerEvent, Answer> {
    const promptCache = new PromptCache(decoder, system.language.width);
    try {
      return yield* streamOn(promptCache, request);
    } finally {
      await promptCache.release();
    }
  }

  const answerBatch = async (requests: readonly GenerateRequest[]): Promise<Answer[]> => {
    if (requests.length === 0) return [];
    const startedMs = performance.now();
    const planned = requests.map(plan);
    const encoded: EncodedPrompt[] = [];
    for (const item of planned) encoded.push(await encode(item));
    // One place more than needed: a finished sequence computes on there while others go on.
    const capacity = Math.max(...planned.map((item) => item.count.promptTokens + item.maxTokens));
    const cache = await decoder.createCache(
      requests.length,
      Math.min(capacity + 1, decoder.contextLength),
    );
    try {
      const run = decodeSequences(
        decoder,
        cache,
        planned.map((item, row) => startOf(item, row, encoded[row].embeddings)),
        AbortSignal.any(requests.flatMap(({ signal }) => (signal === undefined ? [] : [signal]))),
      );
      const answers = planned.map(({ stream }) => ({
        stream,
        ids: [] as number[],
        text: "",
        finishReason: "length" as FinishReason,
        stopString: undefined as string | undefined,
        firstTokenMs: 0,
        lastTokenMs: 0,
      }));
      for await (const { row, id, finish } of run.tokens) {
        const answer = answers[row];
        answer.lastTokenMs = performance.now() - startedMs;
        if (answer.ids.length === 0) answer.firstTokenMs = answer.lastTokenMs;
        answer.ids.push(id);
        if (finish === "stop") answer.finishReason = "stop";
        else {
          const piece = answer.stream.push(id);
          answer.text += piece.text;
          if (piece.stop !== undefined) {
            answer.finishReason = "stop";
            answer.stopString = piece.stop;
            run.finish(row);
          }
        }
      }
      return answers.map((answer, row) => {
        const decodeMs = answer.lastTokenMs - answer.firstTokenMs;
        return {
          text: answer.text + (answer.stopString === undefined ? answer.stream.finish() : ""),
          ids: answer.ids,
          finishReason: answer.finishReason,
          stopString: answer.stopString,
          usage: {
            ...usageOf(planned[row].count),
            cachedTokens: 0,
            completionTokens: answer.ids.length,
          },
          media: planned[row].count.media,
          timings: {
            ...encoded[row].timings,
            prefillMs: run.prefillMs(),
            firstTokenMs: answer.firstTokenMs,
            decodeMs,
            tokensPerSecond: decodeMs > 0 ? (1000 * (answer.ids.length - 1)) / decodeMs : 0,
          },
          seed: planned[row].sampler.seed,
        };
      });
    } finally {
      await decoder.releaseCache(cache);
    }
  };

  const startConversation = (systemText?: string): Conversation => {
    const messages: ChatMessage[] =
      systemText === undefined ? [] : [{ role: "system", content: systemText }];
    const allMedia: Media[] = [];
    const promptCache = new PromptCache(decoder, system.language.width);
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
          const answer = yield* streamOn(promptCache, request);
          const said: ChatMessage = { role: "assistant", content: answer.text };
          messages.splice(0, messages.length, ...asked, said);
          allMedia.push(...media);
          return answer;
        } finally {
          isAnswering = false;
        }
      },
      close: () => promptCache.release(),
    };
  };

  return {
    name: parts.name,
    system,
    engine: parts.engine,
    tokenizer,
    template,
    contextLength: decoder.contextLength,
    count: (request) => plan(request).count,
    stream,
    answer: (request) => collectAnswer(stream(request)),
    answerBatch,
    startConversation,
    close: parts.close,
  };
};

const usageOf = ({ promptTokens, textTokens, imageTokens, videoTokens }: PromptCount) => ({
  promptTokens,
  textTokens,
  imageTokens,
  videoTokens,
});
