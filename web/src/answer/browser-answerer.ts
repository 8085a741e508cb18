/** A model in this browser: fetched from the server, computed in a worker, asked of nobody else. */
import type { Budget } from "../data/conversation.js";
import type { Figures, Plan } from "../data/figures.js";
import { authorization } from "../data/server.js";
import type { AnswerEvents, Answerer, Asked } from "./answerer.js";
import type { FromModelWorker, ToModelWorker, WorkerQuestion } from "./browser-messages.js";

export type LoadState =
  | { readonly type: "idle" }
  | { readonly type: "ready" }
  | { readonly type: "loading"; readonly receivedBytes: number }
  | { readonly type: "failed"; readonly reason: string };

type Waiting = {
  readonly onMessage: (message: FromModelWorker) => void;
  readonly reject: (error: Error) => void;
};

const choiceOf = ({ granularity, maxSlices, downsampleMode }: Budget): WorkerQuestion["choice"] => {
  const slicing = {
    ...(maxSlices !== undefined && { maxSlices }),
    ...(downsampleMode !== undefined && { downsampleMode }),
  };
  return {
    ...(granularity !== undefined && { granularity }),
    ...(Object.keys(slicing).length > 0 && { slicing }),
  };
};

const questionOf = ({ messages, budget, systemText, ...asked }: Asked): WorkerQuestion => ({
  messages: [
    ...(systemText === "" ? [] : [{ role: "system" as const, content: systemText }]),
    ...messages.map(({ role, text, media }) => ({
      role,
      content: [...media.map(({ kind }) => ({ type: kind })), { type: "text" as const, text }],
    })),
  ],
  media: messages.flatMap(({ media }) => media.map(({ kind, blob }) => ({ kind, blob }))),
  choice: choiceOf(budget),
  options: { temperature: asked.temperature, maxTokens: asked.maxTokens },
});

export class BrowserAnswerer implements Answerer {
  state: LoadState = { type: "idle" };
  private readonly waiting = new Map<number, Waiting>();
  private readonly listeners = new Set<() => void>();
  private worker: Worker | undefined;
  private nextId = 1;

  constructor(
    readonly source: { readonly files: string; readonly bytes: number },
    private readonly provider: "wasm" | "webgpu",
  ) {}

  /** Calls back whenever `state` has changed; returns how to end that. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Fetches the model, unless that has begun. */
  load(): void {
    if (this.worker !== undefined) return;
    this.setState({ type: "loading", receivedBytes: 0 });
    const worker = new Worker(new URL("./model-worker.ts", import.meta.url), { type: "module" });
    this.worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<FromModelWorker>) =>
      this.receive(data),
    );
    worker.addEventListener("error", ({ message }) =>
      this.fail(message || "The model's worker could not be started."),
    );
    const absolute = (path: string) => new URL(path.replace(/^\//, ""), document.baseURI).href;
    this.post({
      type: "load",
      files: absolute(this.source.files),
      runtime: absolute("runtime/"),
      provider: this.provider,
      headers: authorization(),
    });
  }

  async plan(asked: Asked, signal: AbortSignal): Promise<Plan> {
    return this.ask("plan", asked, signal, (message) =>
      message.type === "planned" ? message.plan : undefined,
    );
  }

  async answer(asked: Asked, { onPlan, onText }: AnswerEvents, signal: AbortSignal) {
    return this.ask<Figures>("answer", asked, signal, (message) => {
      if (message.type === "planned") onPlan(message.plan);
      if (message.type === "text") onText(message.text);
      return message.type === "answered" ? message.figures : undefined;
    });
  }

  /** Asks the worker; `read` returns what ends the question. */
  private ask<Result>(
    type: "plan" | "answer",
    asked: Asked,
    signal: AbortSignal,
    read: (message: FromModelWorker) => Result | undefined,
  ): Promise<Result> {
    this.load();
    const id = this.nextId++;
    const stop = () => this.post({ type: "stop", id });
    return new Promise<Result>((resolve, reject) => {
      if (this.state.type === "failed") throw new Error(this.state.reason);
      signal.throwIfAborted();
      signal.addEventListener("abort", stop, { once: true });
      this.waiting.set(id, {
        onMessage: (message) => {
          const result = read(message);
          if (result !== undefined) resolve(result);
        },
        reject,
      });
      this.post({ type, id, question: questionOf(asked) });
    }).finally(() => {
      signal.removeEventListener("abort", stop);
      this.waiting.delete(id);
    });
  }

  private post(message: ToModelWorker): void {
    this.worker?.postMessage(message);
  }

  private receive(message: FromModelWorker): void {
    if (message.type === "progress") {
      this.setState({ type: "loading", receivedBytes: message.receivedBytes });
    } else if (message.type === "ready") {
      this.setState({ type: "ready" });
    } else if (message.type !== "failed") {
      this.waiting.get(message.id)?.onMessage(message);
    } else if (message.id === undefined) {
      this.fail(message.reason);
    } else {
      this.waiting.get(message.id)?.reject(new Error(message.reason));
    }
  }

  /** The model is not there; the next question tries again. */
  private fail(reason: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    this.setState({ type: "failed", reason });
    for (const { reject } of this.waiting.values()) reject(new Error(reason));
  }

  private setState(state: LoadState): void {
    this.state = state;
    for (const listener of this.listeners) listener();
  }
}
