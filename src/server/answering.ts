/** From what is asked to an answer: media, the model's turn, time-outs, metrics. */
import type { ChatMessage } from "../text/chat-message.js";
import type { AnswerHead, AnswerParts } from "./api/answer-stream.js";
import { ApiError, invalidRequest, toApiError } from "./api/api-error.js";
import type { AskedRequest } from "./api/asked-request.js";
import type { MediaResolver } from "./media/media-resolver.js";
import type { ServerMetrics } from "./metrics.js";
import type { RequestLimits, ServingOptions } from "./server-options.js";
import type { Lease, ModelRegistry } from "./serving/model-registry.js";
import type {
  ServedCount,
  ServedMedia,
  ServedRequest,
  ServedTokens,
} from "./serving/worker-messages.js";

/** Who asks. */
export type Client = {
  /** Takes turns with others. */
  readonly id: string;
  /** Shares uploads, named media and kept prompts with nobody outside of it. */
  readonly scope: string;
};

export type AskContext = {
  readonly client: Client;
  readonly requestId: string;
  /** The client's own: aborted when it leaves. */
  readonly signal: AbortSignal;
};

/** An answer that has been planned and is under way: nothing of the request can be refused any more. */
export type StartedAnswer = {
  readonly head: AnswerHead;
  readonly parts: AsyncGenerator<AnswerParts, void>;
};

export type Answering = {
  /** Starts an answer. Throws `ApiError` for everything that is wrong with the request. */
  start(asked: AskedRequest, idPrefix: string, context: AskContext): Promise<StartedAnswer>;
  count(asked: AskedRequest, context: AskContext): Promise<ServedCount>;
  tokenize(
    model: string,
    text: string,
    isWhole: boolean,
    context: AskContext,
  ): Promise<ServedTokens>;
  /** Answers that are under way. */
  readonly numActive: number;
  /** Takes no more requests; those that wait are refused. */
  refuse(): void;
  /** Ends what is still under way. */
  abort(error: ApiError): void;
};

export type AnsweringParts = {
  readonly models: ModelRegistry;
  readonly media: MediaResolver;
  readonly metrics: ServerMetrics;
  readonly serving: ServingOptions;
  readonly limits: RequestLimits;
};

export const shuttingDown = (): ApiError =>
  new ApiError(503, "The server is shutting down.", {
    type: "unavailable_error",
    code: "shutting_down",
    retryAfterSeconds: 5,
  });

/** Nobody reads it; it tells the log and the metrics why an answer ended. */
const clientLeft = (): ApiError =>
  new ApiError(499, "The client left.", { type: "invalid_request_error", code: "client_left" });

const messagesOf = (asked: AskedRequest, media: readonly ServedMedia[]): ChatMessage[] =>
  asked.messages.map(({ role, content }) => ({
    role,
    content: content.map((part) =>
      part.type === "text" ? part : { type: media[part.index].kind },
    ),
  }));

export const createAnswering = (parts: AnsweringParts): Answering => {
  const { models, serving, limits, metrics } = parts;
  const active = new Set<AbortController>();
  let isRefusing = false;

  const checkLimits = ({ options }: AskedRequest): void => {
    const { maxTokens } = options;
    if (maxTokens !== undefined && maxTokens > limits.maxAnswerTokens) {
      throw invalidRequest(
        `An answer may have ${limits.maxAnswerTokens} tokens on this server, got ${maxTokens}.`,
        "limit_exceeded",
        "max_tokens",
      );
    }
  };

  /** Opens everything that a request needs and takes it down again, whatever happens. */
  const prepare = async (asked: AskedRequest, { client, signal }: AskContext) => {
    if (isRefusing) throw shuttingDown();
    checkLimits(asked);
    const controller = new AbortController();
    const timer = setTimeout(
      () =>
        controller.abort(
          new ApiError(504, "The answer took too long.", {
            type: "timeout_error",
            code: "request_timeout",
          }),
        ),
      serving.requestTimeoutMs,
    );
    const onLeave = (): void => controller.abort(clientLeft());
    if (signal.aborted) onLeave();
    signal.addEventListener("abort", onLeave, { once: true });
    active.add(controller);
    const closers: (() => void | Promise<void>)[] = [
      () => clearTimeout(timer),
      () => signal.removeEventListener("abort", onLeave),
      () => void active.delete(controller),
    ];
    let isClosed = false;
    const close = async (): Promise<void> => {
      if (isClosed) return;
      isClosed = true;
      for (const closer of closers) await closer();
    };
    try {
      const lease: Lease = await models.acquire(asked.model);
      closers.push(lease.release);
      const asker = { scope: client.scope, signal: controller.signal };
      const resolved = await parts.media.resolve(asked.media, asker);
      closers.push(resolved.release);
      const request: ServedRequest = {
        messages: messagesOf(asked, resolved.media),
        media: resolved.media,
        options: {
          ...asked.options,
          maxTokens: asked.options.maxTokens ?? Math.min(512, limits.maxAnswerTokens),
        },
        cacheScope: client.scope,
      };
      return { lease, request, signal: controller.signal, close };
    } catch (error) {
      await close();
      throw error;
    }
  };

  const start: Answering["start"] = async (asked, idPrefix, context) => {
    const startedMs = performance.now();
    const fail = (error: unknown): ApiError => {
      const told = toApiError(error, context.requestId);
      const isKnown = models.entries.some(({ name }) => name === asked.model);
      metrics.observeFailure(isKnown ? asked.model : "", told.details.code);
      return told;
    };
    const prepared = await prepare(asked, context).catch((error: unknown) => {
      throw fail(error);
    });
    const { lease, request, signal, close } = prepared;
    let queuedMs = 0;
    const head: AnswerHead = {
      id: `${idPrefix}${context.requestId.replaceAll("-", "")}`,
      created: Math.floor(Date.now() / 1000),
      model: lease.name,
      system: models.systemOf(lease.name),
    };
    const asker = { client: context.client.id, signal };
    const stream = lease.pool.ask(request, asker, (ms) => {
      queuedMs = ms;
    });
    const first = await stream.next().catch(async (error: unknown) => {
      await close();
      throw fail(error);
    });
    if (first.done || first.value.type !== "start") {
      await close();
      throw fail(new Error("the worker must begin with its plan"));
    }
    const planned = first.value;
    const end = async (): Promise<void> => {
      await stream.return(undefined as never).catch(() => {});
      await close();
    };
    let isRead = false;
    // A client may leave before the first part is read, and then nobody reads.
    const endUnread = (): void => void (isRead || end());
    if (signal.aborted) endUnread();
    else signal.addEventListener("abort", endUnread, { once: true });

    async function* run(): AsyncGenerator<AnswerParts, void> {
      isRead = true;
      let lastMs = 0;
      try {
        yield { type: "start", event: planned };
        for (;;) {
          const next = await stream.next();
          const nowMs = performance.now();
          if (next.done) {
            const answer = next.value;
            const totalMs = nowMs - startedMs;
            const { patches } = answer.cost;
            metrics.observeAnswer({ model: lease.name, answer, patches, queuedMs, totalMs });
            yield { type: "end", answer, looks: planned.looks, queuedMs };
            return;
          }
          if (next.value.type !== "text") continue;
          if (lastMs > 0) metrics.observeInterval(lease.name, nowMs - lastMs);
          lastMs = nowMs;
          yield next.value;
        }
      } catch (error) {
        throw fail(error);
      } finally {
        await end();
      }
    }
    return { head, parts: run() };
  };

  const count: Answering["count"] = async (asked, context) => {
    try {
      const { lease, request, signal, close } = await prepare(asked, context);
      try {
        return await lease.pool.count(request, { client: context.client.id, signal });
      } finally {
        await close();
      }
    } catch (error) {
      throw toApiError(error, context.requestId);
    }
  };

  const tokenize: Answering["tokenize"] = async (model, text, isWhole, { client, signal }) => {
    if (isRefusing) throw shuttingDown();
    const lease = await models.acquire(model);
    try {
      return await lease.pool.tokenize(text, isWhole, { client: client.id, signal });
    } finally {
      lease.release();
    }
  };

  return {
    start,
    count,
    tokenize,
    get numActive() {
      return active.size;
    },
    refuse: () => {
      isRefusing = true;
      for (const [, pool] of models.pools) pool.refuseWaiting(shuttingDown());
    },
    abort: (error) => {
      for (const controller of active) controller.abort(error);
    },
  };
};
