import type { AppliedLook, ServedAnswer, ServedEvent } from "../serving/worker-messages.js";

/** An answer as the HTTP side writes it: its plan, its text as it comes, and the whole. */
export type AnswerParts =
  | { readonly type: "start"; readonly event: Extract<ServedEvent, { type: "start" }> }
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "end";
      readonly answer: ServedAnswer;
      readonly looks: readonly AppliedLook[];
      readonly queuedMs: number;
    };

/** What every answer needs besides its parts. */
export type AnswerHead = {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly system: string;
};
