/** The HTTP interface: OpenAI's, with what images cost. */
import { randomUUID } from "node:crypto";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import type { z } from "zod";
import { type Answering, type AskContext, type StartedAnswer, shuttingDown } from "./answering.js";
import type { AnswerParts } from "./api/answer-stream.js";
import { ApiError, toApiError } from "./api/api-error.js";
import type { AskedRequest } from "./api/asked-request.js";
import { askedByChat, type ChatRequest, chatRequestSchema } from "./api/chat-request.js";
import { chatChunks, chatCompletion } from "./api/chat-response.js";
import { eventStream, eventText } from "./api/event-stream.js";
import { createOpenApiDocument } from "./api/openapi.js";
import { parseJson, parseRequest } from "./api/request-schema.js";
import {
  askedByResponses,
  type ResponsesRequest,
  responsesRequestSchema,
} from "./api/responses-request.js";
import { createResponseEvents, responseObject } from "./api/responses-response.js";
import { tokenizeSchema } from "./api/tokenize-request.js";
import { visionPlan } from "./api/vision-block.js";
import { createGuard, requireJson } from "./guards.js";
import type { UploadStore } from "./media/upload-store.js";
import type { ServerMetrics } from "./metrics.js";
import { addModelRoutes } from "./model-routes.js";
import type { SentFile } from "./page/file-response.js";
import type { ModelFiles } from "./page/model-files.js";
import { addPageRoutes } from "./page/page-routes.js";
import type { LogLine, RequestLimits, ServingOptions } from "./server-options.js";
import type { ModelRegistry } from "./serving/model-registry.js";
import { addUploadRoutes } from "./upload-routes.js";

export type AppParts = {
  readonly answering: Answering;
  readonly models: ModelRegistry;
  readonly uploads: UploadStore;
  readonly metrics: ServerMetrics;
  readonly serving: ServingOptions;
  readonly limits: RequestLimits;
  readonly apiKeys: readonly string[];
  readonly corsOrigins: readonly string[];
  /** The web page's files by path. */
  readonly page: ReadonlyMap<string, SentFile>;
  /** Models whose files a page may fetch. */
  readonly modelFiles: ModelFiles;
  /** Names by which the server may be asked; any, where absent. */
  readonly hosts?: ReadonlySet<string>;
  readonly version: string;
  readonly log: (line: LogLine) => void;
  /** Address of whoever asks. */
  readonly addressOf: (context: Context) => string;
  readonly state: { isReady: boolean; isClosing: boolean };
};

export type AppVariables = {
  requestId: string;
  address: string;
  scope: string;
};
export type AppContext = Context<{ Variables: AppVariables }>;
export type App = Hono<{ Variables: AppVariables }>;

export const createApp = (parts: AppParts): App => {
  const { answering, models, metrics, serving, limits, log, state } = parts;
  const app: App = new Hono();

  const contextOf = (context: AppContext): AskContext => {
    const scope = context.get("scope");
    return {
      client: { id: `${scope} ${context.get("address")}`, scope },
      requestId: context.get("requestId"),
      signal: context.req.raw.signal,
    };
  };

  const tellError = (error: unknown, context: AppContext): Response => {
    const requestId = context.get("requestId") ?? randomUUID();
    const told = toApiError(error, requestId);
    if (told.status >= 500) {
      const cause = told.cause ?? error;
      const reason = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
      log({ level: "error", request: requestId, path: context.req.path, reason });
    }
    const { retryAfterSeconds } = told.details;
    // What is left of a body that is too large is not read: the connection cannot be used again.
    if (told.status === 413) context.header("connection", "close");
    if (retryAfterSeconds !== undefined) context.header("retry-after", String(retryAfterSeconds));
    return context.json(told.toJSON(), told.status as 400);
  };

  app.onError((error, context) => tellError(error, context as AppContext));
  app.notFound((context) =>
    context.json(
      new ApiError(404, `There is no ${context.req.method} ${context.req.path}.`, {
        type: "not_found_error",
        code: "not_found",
      }).toJSON(),
      404,
    ),
  );

  app.use(async (context, next) => {
    const startedMs = performance.now();
    const requestId = randomUUID();
    context.set("requestId", requestId);
    context.set("address", parts.addressOf(context));
    context.header("x-request-id", requestId);
    context.header("x-content-type-options", "nosniff");
    await next();
    const { method, path } = context.req;
    const ms = Math.round(performance.now() - startedMs);
    log({ level: "info", request: requestId, method, path, status: context.res.status, ms });
  });
  if (parts.corsOrigins.length > 0) {
    const origin = parts.corsOrigins.includes("*") ? "*" : [...parts.corsOrigins];
    app.use(cors({ origin, exposeHeaders: ["x-request-id", "retry-after"] }));
  }
  const { apiKeys, hosts, page } = parts;
  app.use(createGuard({ apiKeys, openPaths: page.keys(), ...(hosts && { hosts }) }));
  app.use(async (_, next) => {
    if (state.isClosing) throw shuttingDown();
    await next();
  });
  app.use(
    bodyLimit({
      maxSize: limits.maxBodyBytes,
      onError: () => {
        throw new ApiError(413, `A body may have ${limits.maxBodyBytes} bytes.`, {
          type: "invalid_request_error",
          code: "limit_exceeded",
        });
      },
    }),
  );

  const readBody = async <Schema extends z.ZodType>(
    context: AppContext,
    schema: Schema,
  ): Promise<z.infer<Schema>> => {
    requireJson(context);
    return parseRequest(schema, parseJson(await context.req.text()));
  };

  /** Reads a started answer to its end. */
  const finish = async ({ parts: answer }: StartedAnswer) => {
    let end: Extract<AnswerParts, { type: "end" }> | undefined;
    for await (const part of answer) if (part.type === "end") end = part;
    if (end === undefined) throw new Error("an answer must have an end");
    return end;
  };

  /** Streams a started answer as texts; an error is told as the stream's last word. */
  const stream = (
    context: AppContext,
    { parts: answer }: StartedAnswer,
    write: (part: AnswerParts) => readonly string[],
    writeError: (error: ApiError) => readonly string[],
    last: readonly string[],
  ): Response => {
    const { requestId } = contextOf(context);
    async function* texts(): AsyncGenerator<string, void> {
      try {
        for await (const part of answer) yield* write(part);
      } catch (error) {
        const told = toApiError(error, requestId);
        if (told.status >= 500)
          log({ level: "error", request: requestId, reason: String(told.cause ?? told) });
        yield* writeError(told);
      }
      yield* last;
    }
    return eventStream(texts(), { pingMs: serving.pingMs, onLeave: () => void answer.return() });
  };

  app.post("/v1/chat/completions", async (context) => {
    const request: ChatRequest = await readBody(context, chatRequestSchema);
    const started = await answering.start(askedByChat(request), "chatcmpl-", contextOf(context));
    if (request.stream !== true)
      return context.json(chatCompletion(started.head, await finish(started)));
    const settings = { includesUsage: request.stream_options?.include_usage === true };
    return stream(
      context,
      started,
      (part) => chatChunks(started.head, part, settings).map((chunk) => eventText(chunk)),
      (error) => [eventText(error.toJSON())],
      [eventText("[DONE]")],
    );
  });

  app.post("/v1/responses", async (context) => {
    const request: ResponsesRequest = await readBody(context, responsesRequestSchema);
    const started = await answering.start(askedByResponses(request), "resp_", contextOf(context));
    if (request.stream !== true) {
      return context.json(responseObject(started.head, request, await finish(started)));
    }
    const events = createResponseEvents(started.head, request);
    const write = (event: { readonly type: string }) => eventText(event, event.type);
    return stream(
      context,
      started,
      (part) => events.of(part).map(write),
      (error) => events.failed(error).map(write),
      [],
    );
  });

  const count = async (context: AppContext, asked: AskedRequest) => {
    const counted = await answering.count(asked, contextOf(context));
    return context.json({
      object: "response.input_tokens",
      input_tokens: counted.promptTokens,
      input_tokens_details: {
        text_tokens: counted.textTokens,
        image_tokens: counted.imageTokens,
        video_tokens: counted.videoTokens,
      },
      vision: visionPlan(models.systemOf(asked.model), counted.media, counted.looks, counted.cost),
    });
  };
  app.post("/v1/chat/completions/input_tokens", async (context) =>
    count(context, askedByChat(await readBody(context, chatRequestSchema))),
  );
  app.post("/v1/responses/input_tokens", async (context) =>
    count(context, askedByResponses(await readBody(context, responsesRequestSchema))),
  );

  app.post("/tokenize", async (context) => {
    const request = await readBody(context, tokenizeSchema);
    const text = request.prompt ?? request.content ?? "";
    const model = request.model ?? models.entries[0].name;
    const isWhole = request.add_special_tokens ?? true;
    const { ids, texts, contextLength } = await answering.tokenize(
      model,
      text,
      isWhole,
      contextOf(context),
    );
    return context.json({
      count: ids.length,
      max_model_len: contextLength,
      tokens: ids,
      ...(request.return_token_strs === true && { token_strs: texts }),
    });
  });

  const health = (context: AppContext) => {
    if (state.isReady) return context.json({ status: "ok" });
    const loading = new ApiError(503, "The models are being loaded.", {
      type: "unavailable_error",
      code: "loading",
      retryAfterSeconds: 1,
    });
    return tellError(loading, context);
  };
  app.get("/health", health);
  app.get("/v1/health", health);
  app.get("/metrics", async (context) => {
    const { text, contentType } = await metrics.expose();
    return context.body(text, 200, { "content-type": contentType });
  });
  const document = createOpenApiDocument(parts.version, parts.apiKeys.length > 0);
  app.get("/openapi.json", (context) => context.json(document));

  addModelRoutes(app, parts);
  addUploadRoutes(app, parts.uploads, limits);
  addPageRoutes(app, page, parts.modelFiles);

  for (const { path, methods } of knownPaths(app)) {
    app.all(path, (context) => {
      context.header("allow", methods.join(", "));
      throw new ApiError(405, `${path} takes ${methods.join(" or ")}, got ${context.req.method}.`, {
        type: "invalid_request_error",
        code: "method_not_allowed",
      });
    });
  }
  return app;
};

/** Every path of the interface with its methods. */
const knownPaths = (app: App) => {
  const paths = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    if (method === "ALL") continue;
    const methods = paths.get(path) ?? new Set();
    paths.set(path, methods.add(method));
  }
  return [...paths].map(([path, methods]) => ({ path, methods: [...methods] }));
};
