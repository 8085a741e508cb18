/** The worker that holds a model in this browser. ONNX Runtime computes in a worker of its own below it. */
import {
  type AnswerEvent,
  type CostEstimator,
  createCostEstimator,
  decodeImage,
  estimateAnswerCost,
  type GenerateRequest,
  loadModel,
  type Media,
  type MediaReport,
  openVideo,
  type VisionLanguageModel,
} from "saccade/web";
import type { Plan, SeenMedium } from "../data/figures.js";
import type { FromModelWorker, ToModelWorker, WorkerQuestion } from "./browser-messages.js";

type Loaded = { readonly model: VisionLanguageModel; readonly estimate: CostEstimator };

const post = (message: FromModelWorker): void => globalThis.self.postMessage(message);
const running = new Map<number, AbortController>();
let loaded: Promise<Loaded> | undefined;

const seenOf = ({
  type,
  size,
  tokens,
  views,
  tokenOptions,
  routes,
  frames,
}: MediaReport): SeenMedium => ({
  type,
  ...size,
  tokens,
  views: views.map(({ role, width, height, box }) => ({ role, width, height, box: box ?? null })),
  granularities: tokenOptions?.all ?? [],
  routes: (routes ?? []).map(({ granularity, tokens: taken, chosenBy, probabilities }) => ({
    granularity,
    tokens: taken,
    chosenBy,
    ...(probabilities && { probabilities }),
  })),
  awaitsRouter: routes === undefined && (tokenOptions?.allowed.length ?? 0) > 1,
  ...(frames && { frames: { sampled: frames.sampled, total: frames.total } }),
});

const planOf = (
  { estimate }: Loaded,
  { choice }: WorkerQuestion,
  media: readonly MediaReport[],
  promptTokens: number,
  answerTokens: number,
): Plan => {
  const visionTokens = media.reduce((sum, { tokens }) => sum + tokens, 0);
  const { flops, bytes } = estimateAnswerCost(estimate, {
    media,
    choices: media.map(() => choice),
    textTokens: promptTokens - visionTokens,
    answerTokens,
  });
  return {
    promptTokens,
    visionTokens,
    media: media.map(seenOf),
    flops: flops.total,
    kvBytes: bytes.kvCache,
    weightBytes: bytes.weights,
    peakBytes: bytes.peak,
  };
};

const load = async ({
  files,
  runtime,
  provider,
  headers,
}: Extract<ToModelWorker, { type: "load" }>): Promise<Loaded> => {
  const received = new Map<string, number>();
  const model = await loadModel(files, {
    provider,
    wasmPaths: runtime,
    headers,
    onProgress: ({ file, receivedBytes }) => {
      received.set(file, receivedBytes);
      post({ type: "progress", receivedBytes: [...received.values()].reduce((a, b) => a + b, 0) });
    },
  });
  return { model, estimate: createCostEstimator(model) };
};

/** Media as the library takes them; `close` frees what they hold. */
const openMedia = async ({ media, choice }: WorkerQuestion) => {
  const opened: Media[] = [];
  const close = async (): Promise<void> => {
    for (const item of opened) if (item.type === "video") await item.video.close();
  };
  try {
    for (const { kind, blob } of media) {
      opened.push(
        kind === "image"
          ? { type: "image", image: await decodeImage(blob), choice }
          : { type: "video", video: await openVideo(blob), choice },
      );
    }
    return { media: opened, close };
  } catch (error) {
    await close();
    throw error;
  }
};

const serve = async (
  { type, id, question }: Extract<ToModelWorker, { type: "plan" | "answer" }>,
  signal: AbortSignal,
): Promise<void> => {
  if (loaded === undefined) throw new Error("The model is not loaded.");
  const current = await loaded;
  const { model } = current;
  const { media, close } = await openMedia(question);
  try {
    const { messages, options } = question;
    const request: GenerateRequest = { ...options, messages, media, signal };
    if (type === "plan") {
      const { media: seen, promptTokens } = model.count(request);
      post({ type: "planned", id, plan: planOf(current, question, seen, promptTokens, 1) });
      return;
    }
    const stream = model.stream(request);
    for (;;) {
      const next = await stream.next();
      if (next.done) {
        const { usage, media: seen, timings, finishReason } = next.value;
        post({
          type: "answered",
          id,
          figures: {
            ...planOf(current, question, seen, usage.promptTokens, usage.completionTokens),
            answerTokens: usage.completionTokens,
            cachedTokens: usage.cachedTokens,
            firstTokenMs: timings.firstTokenMs,
            visionMs: timings.visionMs + timings.fusionMs,
            tokensPerSecond: timings.tokensPerSecond,
            isCut: finishReason === "length",
          },
        });
        return;
      }
      const event: AnswerEvent = next.value;
      if (event.type === "text") post({ type: "text", id, text: event.text });
      else {
        const plan = planOf(current, question, event.media, event.promptTokens, 1);
        post({ type: "planned", id, plan });
      }
    }
  } finally {
    await close();
  }
};

const reasonOf = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/^[a-zA-Z]+: /, "") : String(error);

globalThis.self.addEventListener("message", ({ data }: MessageEvent<ToModelWorker>) => {
  if (data.type === "load") {
    loaded = load(data);
    loaded.then(
      () => post({ type: "ready" }),
      (error: unknown) => post({ type: "failed", reason: reasonOf(error) }),
    );
    return;
  }
  if (data.type === "stop") {
    running.get(data.id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  serve(data, controller.signal)
    .catch((error: unknown) => post({ type: "failed", id: data.id, reason: reasonOf(error) }))
    .finally(() => running.delete(data.id));
});
