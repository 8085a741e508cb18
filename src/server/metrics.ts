/** Prometheus metrics, named as vLLM's behind another prefix so that its dashboards can be used. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Answer } from "../generate/answer.js";
import type { ModelRegistry } from "./serving/model-registry.js";

const prefix = "saccade:";
const seconds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300,
];
const tokens = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 50_000];

/** What is known of one request that was answered. */
export type AnsweredRequest = {
  readonly model: string;
  readonly answer: Answer;
  /** Patches that the vision tower read for it. */
  readonly patches: number;
  readonly queuedMs: number;
  readonly totalMs: number;
};

export type ServerMetrics = {
  observeAnswer(request: AnsweredRequest): void;
  /** Times between two pieces of one answer. */
  observeInterval(model: string, ms: number): void;
  observeFailure(model: string, code: string): void;
  /** The exposition text and its type. */
  expose(): Promise<{ readonly text: string; readonly contentType: string }>;
};

export const createServerMetrics = (models: ModelRegistry): ServerMetrics => {
  const registry = new Registry();
  const registers = [registry];
  const labelNames = ["model_name"] as const;
  const counter = <Label extends string>(name: string, help: string, more: readonly Label[] = []) =>
    new Counter({ name: prefix + name, help, labelNames: [...labelNames, ...more], registers });
  const histogram = (name: string, help: string, buckets: readonly number[] = seconds) =>
    new Histogram({ name: prefix + name, help, labelNames, buckets: [...buckets], registers });
  const gauge = (
    name: string,
    help: string,
    read: (set: (model: string, value: number) => void) => void,
  ) =>
    new Gauge({
      name: prefix + name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        read((model, value) => this.set({ model_name: model }, value));
      },
    });

  gauge("num_requests_running", "Requests that are being answered.", (set) => {
    for (const [name, pool] of models.pools) set(name, pool.numRunning);
  });
  gauge("num_requests_waiting", "Requests that wait for their turn.", (set) => {
    for (const [name, pool] of models.pools) set(name, pool.numWaiting);
  });
  gauge("kv_cache_usage_perc", "Share of the key-value cache's places in use; 1 is all.", (set) => {
    for (const [name, pool] of models.pools) {
      const entry = models.entries.find((known) => known.name === name);
      if (entry !== undefined)
        set(name, pool.load.cachedTokens / (pool.numSlots * entry.info.contextLength));
    }
  });
  gauge("prefix_cache_bytes", "Bytes of earlier prompts kept for new ones.", (set) => {
    for (const [name, pool] of models.pools) set(name, pool.load.prefixCacheBytes);
  });
  new Gauge({
    name: `${prefix}loaded_models_bytes`,
    help: "Bytes that the loaded models may take, by their estimates.",
    registers,
    collect() {
      this.set(models.loadedBytes);
    },
  });
  new Gauge({
    name: "process_resident_memory_bytes",
    help: "Resident memory of the process.",
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });

  const promptTokens = counter("prompt_tokens_total", "Tokens of prompts, images included.");
  const generationTokens = counter("generation_tokens_total", "Tokens of answers.");
  const imageTokens = counter("image_tokens_total", "Tokens that images and videos took.");
  const images = counter(
    "images_total",
    "Images by the granularity that was chosen, or by their tokens where there is no choice.",
    ["granularity"],
  );
  const success = counter("request_success_total", "Requests that were answered.", [
    "finished_reason",
  ]);
  const failure = counter("request_failure_total", "Requests that got an error.", ["code"]);
  // A request is started only when its whole answer has room, so that none is ever put back.
  counter("num_preemptions_total", "Requests put back for lack of memory; always 0.");
  const prefixQueries = counter(
    "prefix_cache_queries_total",
    "Prompt tokens looked for in the prefix cache.",
  );
  const prefixHits = counter("prefix_cache_hits_total", "Prompt tokens found there.");
  const mediaQueries = counter(
    "mm_cache_queries_total",
    "Images and frames looked for in the feature cache.",
  );
  const mediaHits = counter("mm_cache_hits_total", "Images and frames found there.");
  const firstToken = histogram(
    "time_to_first_token_seconds",
    "From the request's turn to its first token, queue included.",
  );
  const interval = histogram("inter_token_latency_seconds", "Between two pieces of an answer.");
  const total = histogram(
    "e2e_request_latency_seconds",
    "From the request to the end of its answer.",
  );
  const queued = histogram("request_queue_time_seconds", "Waiting for its turn.");
  const encoding = histogram(
    "vision_encode_seconds",
    "Encoding images and frames, fusion included.",
  );
  const promptSize = histogram("request_prompt_tokens", "Tokens of a prompt.", tokens);
  const answerSize = histogram("request_generation_tokens", "Tokens of an answer.", tokens);
  const compression = histogram(
    "visual_compression_ratio",
    "Patches that the vision tower read for each token that the language model read.",
    [1, 2, 4, 8, 16, 36, 64, 144, 256, 576, 1024],
  );

  return {
    observeAnswer: ({ model, answer, patches, queuedMs, totalMs }) => {
      const label = { model_name: model };
      const { usage, timings, media, finishReason } = answer;
      promptTokens.inc(label, usage.promptTokens);
      generationTokens.inc(label, usage.completionTokens);
      imageTokens.inc(label, usage.imageTokens + usage.videoTokens);
      for (const { tokens: all, routes = [] } of media) {
        if (routes.length === 0) images.inc({ ...label, granularity: all });
        for (const { granularity } of routes) images.inc({ ...label, granularity });
      }
      success.inc({ ...label, finished_reason: finishReason });
      prefixQueries.inc(label, usage.promptTokens);
      prefixHits.inc(label, usage.cachedTokens);
      mediaQueries.inc(label, answer.views.total);
      mediaHits.inc(label, answer.views.cached);
      firstToken.observe(label, (queuedMs + timings.firstTokenMs) / 1000);
      total.observe(label, totalMs / 1000);
      queued.observe(label, queuedMs / 1000);
      promptSize.observe(label, usage.promptTokens);
      answerSize.observe(label, usage.completionTokens);
      if (media.length > 0) {
        encoding.observe(label, (timings.visionMs + timings.fusionMs) / 1000);
        const visual = usage.imageTokens + usage.videoTokens;
        if (visual > 0) compression.observe(label, patches / visual);
      }
    },
    observeInterval: (model, ms) => interval.observe({ model_name: model }, ms / 1000),
    observeFailure: (model, code) => failure.inc({ model_name: model, code }),
    expose: async () => ({ text: await registry.metrics(), contentType: registry.contentType }),
  };
};
