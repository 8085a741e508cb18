import type { ModelLoad } from "../../generate/model.js";
import { ApiError } from "../api/api-error.js";
import { FairQueue } from "./fair-queue.js";
import { ModelWorker } from "./worker-client.js";
import type {
  ServedAnswer,
  ServedCount,
  ServedEvent,
  ServedRequest,
  ServedTokens,
  WorkerStart,
} from "./worker-messages.js";

export type PoolOptions = {
  readonly numWorkers: number;
  /** Requests that one worker decodes together. */
  readonly maxSequences: number;
  /** Requests that may wait. */
  readonly queueCapacity: number;
  readonly queueTimeoutMs: number;
};

/** Whoever asks: clients take turns, and `signal` ends a request. */
export type Asker = { readonly client: string; readonly signal: AbortSignal };

type Waiting = {
  readonly resolve: (worker: ModelWorker) => void;
  readonly reject: (error: unknown) => void;
};

const longestRetrySeconds = 60;
/** Wait before a worker is started again; doubled with each failure in a row. */
const firstRestartMs = 100;
const longestRestartMs = 30_000;

const unavailable = (message: string, code: string, retryAfterSeconds?: number): ApiError =>
  new ApiError(503, message, {
    type: "unavailable_error",
    code,
    ...(retryAfterSeconds !== undefined && { retryAfterSeconds }),
  });

/** One model: the threads that hold it, and the requests that wait for them. */
export class ModelPool {
  /** Settles when the first worker is ready, with its error if it cannot be loaded. */
  readonly ready: Promise<void>;
  private readonly workers = new Set<ModelWorker>();
  /** Workers that are ready, and how many requests each has been given. */
  private readonly slots = new Map<ModelWorker, number>();
  private readonly queue: FairQueue<Waiting>;
  private isClosed = false;
  private failuresInRow = 0;
  /** Mean time of an answer, in seconds; recent ones count more. */
  private meanSeconds = 1;

  constructor(
    private readonly start: WorkerStart,
    private readonly options: PoolOptions,
  ) {
    this.queue = new FairQueue(options.queueCapacity);
    const started = Array.from({ length: options.numWorkers }, () => this.startWorker());
    this.ready = Promise.any(started.map(({ ready }) => ready)).catch((error: AggregateError) => {
      throw error.errors[0];
    });
    this.ready.catch(() => {});
  }

  get numRunning(): number {
    return [...this.slots.values()].reduce((sum, count) => sum + count, 0);
  }

  get numWaiting(): number {
    return this.queue.size;
  }

  /** Workers that can answer. */
  get numReady(): number {
    return this.slots.size;
  }

  /** The threads, for whoever watches them. */
  get threads(): readonly ModelWorker[] {
    return [...this.workers];
  }

  /** What all workers hold together. */
  get load(): ModelLoad {
    const sum = { numSequences: 0, cachedTokens: 0, prefixCacheBytes: 0 };
    for (const { load } of this.workers) {
      sum.numSequences += load.numSequences;
      sum.cachedTokens += load.cachedTokens;
      sum.prefixCacheBytes += load.prefixCacheBytes;
    }
    return sum;
  }

  /** Streams an answer when it is this client's turn; `onTurn` tells how long that took. */
  async *ask(
    request: ServedRequest,
    { client, signal }: Asker,
    onTurn: (queuedMs: number) => void = () => {},
  ): AsyncGenerator<ServedEvent, ServedAnswer> {
    const queuedAtMs = performance.now();
    const worker = await this.acquire(client, signal);
    const startedMs = performance.now();
    onTurn(startedMs - queuedAtMs);
    try {
      return yield* worker.ask(request, signal);
    } finally {
      const seconds = (performance.now() - startedMs) / 1000;
      this.meanSeconds += (seconds - this.meanSeconds) / 8;
      this.release(worker);
    }
  }

  async count(request: ServedRequest, { client, signal }: Asker): Promise<ServedCount> {
    const worker = await this.acquire(client, signal);
    try {
      return await worker.count(request, signal);
    } finally {
      this.release(worker);
    }
  }

  /** Turns a text into tokens; that takes no turn. */
  async tokenize(text: string, isWhole: boolean, { signal }: Asker): Promise<ServedTokens> {
    await this.ready;
    const [worker] = this.slots.keys();
    if (worker === undefined) throw unavailable("The model is being started.", "model_loading", 1);
    return worker.tokenize(text, isWhole, signal);
  }

  /** Refuses whoever waits; what runs goes on. */
  refuseWaiting(error: ApiError): void {
    for (const { reject } of this.queue.drain()) reject(error);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.refuseWaiting(unavailable("The model was unloaded.", "model_unloaded", 1));
    await Promise.all([...this.workers].map((worker) => worker.close()));
  }

  /** Requests that can be answered together. */
  get numSlots(): number {
    return this.options.numWorkers * this.options.maxSequences;
  }

  private retryAfterSeconds(): number {
    const seconds = (this.meanSeconds * (this.queue.size + 1)) / this.numSlots;
    return Math.min(longestRetrySeconds, Math.max(1, Math.ceil(seconds)));
  }

  private startWorker(): ModelWorker {
    const worker = new ModelWorker(this.start);
    this.workers.add(worker);
    worker.ready.then(
      () => {
        this.failuresInRow = 0;
        this.slots.set(worker, 0);
        this.dispatch();
      },
      () => {
        this.failuresInRow += 1;
      },
    );
    void worker.exited.then(() => {
      this.workers.delete(worker);
      this.slots.delete(worker);
      if (this.isClosed) return;
      const waitMs = Math.min(longestRestartMs, firstRestartMs * 2 ** this.failuresInRow);
      setTimeout(() => !this.isClosed && this.startWorker(), waitMs).unref();
    });
    return worker;
  }

  /** Takes a place at the worker with the fewest requests, if one has room. */
  private takeSlot(): ModelWorker | undefined {
    const [best] = [...this.slots].sort(([, a], [, b]) => a - b);
    if (best === undefined || best[1] >= this.options.maxSequences) return undefined;
    this.slots.set(best[0], best[1] + 1);
    return best[0];
  }

  private release(worker: ModelWorker): void {
    const taken = this.slots.get(worker);
    if (taken !== undefined) this.slots.set(worker, taken - 1);
    this.dispatch();
  }

  /** Hands places to those who wait, in turn. */
  private dispatch(): void {
    while (this.queue.size > 0) {
      const worker = this.takeSlot();
      if (worker === undefined) return;
      this.queue.shift()?.resolve(worker);
    }
  }

  private acquire(client: string, signal: AbortSignal): Promise<ModelWorker> {
    signal.throwIfAborted();
    const free = this.queue.size === 0 ? this.takeSlot() : undefined;
    if (free !== undefined) return Promise.resolve(free);
    return new Promise((resolve, reject) => {
      const leave = (error: unknown): void => {
        this.queue.remove(client, waiting);
        waiting.reject(error);
      };
      const timer = setTimeout(
        () =>
          leave(
            unavailable(
              "The request waited too long for its turn.",
              "queue_timeout",
              this.retryAfterSeconds(),
            ),
          ),
        this.options.queueTimeoutMs,
      );
      const onAbort = (): void => leave(signal.reason);
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      };
      const waiting: Waiting = {
        resolve: (worker) => {
          settle();
          resolve(worker);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal.addEventListener("abort", onAbort, { once: true });
      if (this.queue.push(client, waiting)) return;
      waiting.reject(
        new ApiError(429, "Too many requests are waiting; try again later.", {
          type: "rate_limit_error",
          code: "queue_full",
          retryAfterSeconds: this.retryAfterSeconds(),
        }),
      );
    });
  }
}
