/** What the page and the worker that holds a model say to each other. */
import type { ChatMessage, GenerateOptions, TokenChoice } from "saccade/web";
import type { Figures, Plan } from "../data/figures.js";

/** A question as the worker takes it. */
export type WorkerQuestion = {
  readonly messages: readonly ChatMessage[];
  readonly media: readonly { readonly kind: "image" | "video"; readonly blob: Blob }[];
  readonly choice: TokenChoice;
  readonly options: Pick<GenerateOptions, "temperature" | "maxTokens">;
};

export type ToModelWorker =
  | {
      readonly type: "load";
      /** Absolute addresses. */
      readonly files: string;
      readonly runtime: string;
      readonly provider: "wasm" | "webgpu";
      readonly headers: Readonly<Record<string, string>>;
    }
  | { readonly type: "plan" | "answer"; readonly id: number; readonly question: WorkerQuestion }
  | { readonly type: "stop"; readonly id: number };

export type FromModelWorker =
  | { readonly type: "progress"; readonly receivedBytes: number }
  | { readonly type: "ready" }
  | { readonly type: "text"; readonly id: number; readonly text: string }
  | { readonly type: "planned"; readonly id: number; readonly plan: Plan }
  | { readonly type: "answered"; readonly id: number; readonly figures: Figures }
  /** Without an id, the model could not be loaded. */
  | { readonly type: "failed"; readonly id?: number; readonly reason: string };
