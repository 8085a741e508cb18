/** A thread that holds one loaded model and answers what the HTTP side hands over. */
import { parentPort, workerData } from "node:worker_threads";
import { type CostEstimator, createCostEstimator } from "../../cost/cost-report.js";
import { ContextOverflowError, SaccadeError } from "../../errors.js";
import type { GenerateRequest } from "../../generate/answer.js";
import { estimateAnswerCost } from "../../generate/answer-cost.js";
import { loadModel } from "../../generate/load-model.node.js";
import type { MediaReport } from "../../generate/media.js";
import type { VisionLanguageModel } from "../../generate/model.js";
import { reportError } from "../../graph/worker-protocol.js";
import { resolveModel } from "../../load/resolved-model.js";
import { type ChatMessage, textOf } from "../../text/chat-message.js";
import { openModelFolder } from "../../weights/model-folder.node.js";
import { closeAll, MediaFailure, openMedia } from "./open-media.js";
import { choicesOf } from "./token-choices.js";
import type {
  AppliedLook,
  FromWorker,
  ServedCost,
  ServedMedia,
  ServedRequest,
  ToWorker,
  WorkerStart,
} from "./worker-messages.js";

/** No token of an ordinary text is longer; what has more characters cannot fit into the context. */
const longestTokenCharacters = 100;

const port = parentPort;
if (port === null) throw new SaccadeError("model-worker: must run as a worker thread");
const { path, options, limits } = workerData as WorkerStart;
const post = (message: FromWorker): void => port.postMessage(message);
const running = new Map<number, AbortController>();

const createEstimator = async (): Promise<CostEstimator> => {
  const open = (name: string) => openModelFolder(name, options);
  return createCostEstimator(await resolveModel(await open(path), open, options), {
    prefillChunk: options.prefillChunk,
  });
};

const checkLength = (characters: number, contextLength: number): void => {
  if (characters <= contextLength * longestTokenCharacters) return;
  throw new ContextOverflowError(
    `generate: the text has ${characters} characters, which do not fit into a context of ${contextLength} tokens; shorten it`,
  );
};

const countCharacters = (messages: readonly ChatMessage[]): number =>
  messages.reduce((sum, message) => sum + textOf(message).length, 0);

/** A temporary file's name is nobody's business. */
const withoutPaths = (message: string, media: readonly ServedMedia[]): string =>
  media.reduce(
    (text, item) => (item.kind === "video" ? text.replaceAll(item.path, "the video") : text),
    message,
  );

const serve = async (model: VisionLanguageModel, estimate: CostEstimator): Promise<void> => {
  const choices = choicesOf(model.system);
  const costOf = (
    media: readonly MediaReport[],
    looks: readonly AppliedLook[],
    textTokens: number,
    answerTokens: number,
  ): ServedCost => {
    const choices = looks.map(({ choice }) => choice);
    const request = { media, choices, textTokens, answerTokens };
    const { flops, bytes, views } = estimateAnswerCost(estimate, request);
    return { flops, bytes, patches: views.reduce((sum, view) => sum + view.patches, 0) };
  };

  const answer = async (
    id: number,
    { messages, media, options: asked, cacheScope }: ServedRequest,
    isCount: boolean,
  ): Promise<void> => {
    const controller = new AbortController();
    const { signal } = controller;
    running.set(id, controller);
    try {
      checkLength(countCharacters(messages), model.contextLength);
      const opened = await openMedia(media, limits, choices, signal);
      const looks = opened.map(({ look }) => look);
      try {
        const request: GenerateRequest = {
          ...asked,
          messages,
          media: opened.map((item) => item.media),
          cacheScope,
          signal,
        };
        if (isCount) {
          const count = model.count(request);
          post({
            type: "counted",
            id,
            count: { ...count, looks, cost: costOf(count.media, looks, count.textTokens, 1) },
          });
          return;
        }
        const stream = model.stream(request);
        for (;;) {
          const next = await stream.next();
          if (next.done) {
            const { usage, media: seen } = next.value;
            const cost = costOf(seen, looks, usage.textTokens, usage.completionTokens);
            post({ type: "answered", id, answer: { ...next.value, cost } });
            return;
          }
          const event = next.value;
          if (event.type === "start") {
            const visual = event.media.reduce((sum, { tokens }) => sum + tokens, 0);
            const cost = costOf(event.media, looks, event.promptTokens - visual, 1);
            post({ type: "event", id, event: { ...event, cost, looks } });
          } else if (event.type === "text") {
            post({ type: "event", id, event });
          }
        }
      } finally {
        await closeAll(opened);
      }
    } catch (error) {
      const cause = error instanceof MediaFailure ? error.cause : error;
      const { name, message } = reportError(cause);
      const param = error instanceof MediaFailure && { param: error.param };
      post({
        type: "failed",
        id,
        error: { name, message: withoutPaths(message, media) },
        ...param,
      });
    } finally {
      running.delete(id);
      post({ type: "load", load: model.load() });
    }
  };

  const tokenize = (id: number, text: string, isWhole: boolean): void => {
    const { tokenizer, contextLength } = model;
    try {
      checkLength(text.length, contextLength);
      const ids = tokenizer.encode(text, { addSpecialTokens: isWhole });
      const texts = ids.map((token) => tokenizer.tokenOf(token) ?? "");
      post({ type: "tokenized", id, tokens: { ids, texts, contextLength } });
    } catch (error) {
      post({ type: "failed", id, error: reportError(error) });
    }
  };

  const close = async (): Promise<void> => {
    for (const controller of running.values()) controller.abort(new SaccadeError("closing"));
    await model.close();
    post({ type: "closed" });
    port.close();
  };

  port.on("message", (message: ToWorker) => {
    if (message.type === "abort") running.get(message.id)?.abort(new SaccadeError("cancelled"));
    else if (message.type === "close") void close();
    else if (message.type === "tokenize") tokenize(message.id, message.text, message.isWhole);
    else void answer(message.id, message.request, message.type === "count");
  });
};

try {
  const estimate = await createEstimator();
  const model = await loadModel(path, options);
  await serve(model, estimate);
  post({ type: "ready" });
} catch (error) {
  post({ type: "failed", error: reportError(error) });
  port.close();
}
