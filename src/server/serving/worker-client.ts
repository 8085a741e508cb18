import { createRequire } from "node:module";
import { Worker } from "node:worker_threads";
import type { ModelLoad } from "../../generate/model.js";
import { reviveError } from "../../graph/worker-protocol.js";
import { ApiError, invalidRequest, toApiError } from "../api/api-error.js";
import type {
  FromWorker,
  ServedAnswer,
  ServedCount,
  ServedEvent,
  ServedRequest,
  ServedTokens,
  ToWorker,
  WorkerStart,
} from "./worker-messages.js";

/** What one request gets, in order. */
type Reply = Extract<
  FromWorker,
  { type: "event" | "answered" | "counted" | "tokenized" | "failed" }
>;

type WithoutId<Message> = Message extends { readonly id: number } ? Omit<Message, "id"> : never;
type Outgoing = WithoutId<Exclude<ToWorker, { type: "abort" }>>;

/** Replies that wait to be read. */
class Inbox {
  private readonly replies: Reply[] = [];
  private failure: Error | undefined;
  private wake: () => void = () => {};

  push(reply: Reply): void {
    this.replies.push(reply);
    this.wake();
  }

  fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }

  async next(): Promise<Reply> {
    for (;;) {
      const reply = this.replies.shift();
      if (reply !== undefined) return reply;
      if (this.failure !== undefined) throw this.failure;
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }
}

const workerLost = (): ApiError =>
  new ApiError(500, "The thread that was answering ended; ask again.", {
    type: "server_error",
    code: "worker_lost",
  });

/** The error of a reply; that of a medium names its field. */
const errorOf = ({ error, param }: Extract<Reply, { type: "failed" }>): Error => {
  const revived = reviveError(error);
  if (param === undefined) return revived;
  const told = toApiError(revived, "");
  return told.status === 400 ? invalidRequest(told.message, told.details.code, param) : revived;
};

/** A model in a thread of its own. */
export class ModelWorker {
  readonly ready: Promise<void>;
  /** Settles when the thread has ended, for whatever reason. */
  readonly exited: Promise<void>;
  load: ModelLoad = { numSequences: 0, cachedTokens: 0, prefixCacheBytes: 0 };

  private readonly thread: Worker;
  private readonly inboxes = new Map<number, Inbox>();
  private nextId = 1;
  private isGone = false;
  /** From now on nothing that it says counts: its requests fail when it has gone. */
  private isEnding = false;

  constructor(start: WorkerStart) {
    // By the package's own name for it: the built file, also when the sources run uncompiled.
    const file = createRequire(import.meta.url).resolve("#model-worker");
    this.thread = new Worker(file, { workerData: start, execArgv: [] });
    this.ready = new Promise((resolve, reject) => {
      this.thread.on("message", (message: FromWorker) => {
        if (message.type === "ready") resolve();
        else if (message.type === "load") this.load = message.load;
        else if (message.type === "failed" && message.id === undefined)
          reject(reviveError(message.error));
        else if ("id" in message && message.id !== undefined && !this.isEnding) {
          this.inboxes.get(message.id)?.push(message as Reply);
        }
      });
      this.thread.on("exit", () => reject(workerLost()));
      this.thread.on("error", reject);
    });
    this.ready.catch(() => {});
    this.exited = new Promise((resolve) => {
      this.thread.on("exit", () => {
        this.isGone = true;
        for (const inbox of this.inboxes.values()) inbox.fail(workerLost());
        resolve();
      });
    });
  }

  /** Streams an answer. Leaving early, or aborting, ends the work within one step. */
  async *ask(
    request: ServedRequest,
    signal: AbortSignal,
  ): AsyncGenerator<ServedEvent, ServedAnswer> {
    const { id, inbox, close } = this.send({ type: "ask", request }, signal);
    try {
      for (;;) {
        const reply = await inbox.next();
        if (reply.type === "event") yield reply.event;
        else if (reply.type === "answered") return reply.answer;
        else if (reply.type === "failed") throw errorOf(reply);
      }
    } finally {
      close(id);
    }
  }

  async count(request: ServedRequest, signal: AbortSignal): Promise<ServedCount> {
    const reply = await this.askOnce({ type: "count", request }, signal);
    if (reply.type === "counted") return reply.count;
    throw reply.type === "failed" ? errorOf(reply) : workerLost();
  }

  async tokenize(text: string, isWhole: boolean, signal: AbortSignal): Promise<ServedTokens> {
    const reply = await this.askOnce({ type: "tokenize", text, isWhole }, signal);
    if (reply.type === "tokenized") return reply.tokens;
    throw reply.type === "failed" ? errorOf(reply) : workerLost();
  }

  /** Lets the model go; what runs is ended. */
  async close(): Promise<void> {
    if (this.isGone) return;
    const closed = new Promise<void>((resolve) => {
      this.thread.on("message", ({ type }: FromWorker) => {
        if (type === "closed") resolve();
      });
    });
    this.post({ type: "close" });
    await Promise.race([closed, this.exited]);
    await this.thread.terminate();
  }

  /**
   * Ends the thread; what it was answering fails. Native code of a step returns first: a thread that is torn out of it
   * takes the process along.
   */
  async terminate(): Promise<void> {
    this.isEnding = true;
    await this.close();
  }

  private async askOnce(message: Outgoing, signal: AbortSignal): Promise<Reply> {
    const { id, inbox, close } = this.send(message, signal);
    try {
      return await inbox.next();
    } finally {
      close(id);
    }
  }

  private send(message: Outgoing, signal: AbortSignal) {
    signal.throwIfAborted();
    if (this.isGone) throw workerLost();
    const id = this.nextId++;
    const inbox = new Inbox();
    this.inboxes.set(id, inbox);
    const onAbort = (): void => {
      this.post({ type: "abort", id });
      inbox.fail(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    this.post({ ...message, id });
    const close = (closedId: number): void => {
      signal.removeEventListener("abort", onAbort);
      // Nothing happens in the worker if the answer is complete.
      this.post({ type: "abort", id: closedId });
      this.inboxes.delete(closedId);
    };
    return { id, inbox, close };
  }

  private post(message: ToWorker): void {
    if (!this.isGone) this.thread.postMessage(message);
  }
}
