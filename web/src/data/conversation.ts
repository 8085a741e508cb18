/** Conversations as they are shown and kept. */
import type { Figures, Plan } from "./figures.js";

/** Where a model answers: on the server, or in this browser with one of its engines. */
export type Place = "server" | "wasm" | "webgpu";

/** How far patches are merged into a token. */
export type DownsampleMode = "4x" | "16x";

/** What is asked of every image; the model's own choice where absent. */
export type Budget = {
  /** Tokens of a view. */
  readonly granularity?: number;
  /** Slices besides the whole. */
  readonly maxSlices?: number;
  readonly downsampleMode?: DownsampleMode;
};

/** One who answers: a model, where it runs, how closely it looks. */
export type Lane = { readonly model: string; readonly place: Place; readonly budget: Budget };

/** An image or video as a person gave it. */
export type Attachment = {
  readonly id: string;
  readonly kind: "image" | "video";
  readonly name: string;
  readonly blob: Blob;
};

export type AnswerState = "running" | "done" | "stopped" | "failed";

export type AnswerRecord = {
  readonly lane: Lane;
  readonly state: AnswerState;
  readonly text: string;
  readonly error?: string;
  readonly plan?: Plan;
  readonly figures?: Figures;
};

/** A question with what each lane answered. */
export type Turn = {
  readonly id: string;
  readonly text: string;
  readonly media: readonly Attachment[];
  readonly answers: readonly AnswerRecord[];
};

export type Conversation = {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly changedAt: number;
  readonly turns: readonly Turn[];
};

export const newId = (): string => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;

export const emptyConversation = (): Conversation => ({
  id: newId(),
  title: "",
  changedAt: Date.now(),
  turns: [],
});

/** A message of the history that a lane has seen: its own answers, or the first lane's. */
export type PastMessage = {
  readonly role: "user" | "assistant";
  readonly text: string;
  readonly media: readonly Attachment[];
};

/** What one lane is told: every turn that it answered, and the question that is open. */
export const messagesOf = (turns: readonly Turn[], laneIndex: number): PastMessage[] =>
  turns.flatMap(({ text, media, answers }, index): PastMessage[] => {
    const asked: PastMessage = { role: "user", text, media };
    if (index === turns.length - 1) return [asked];
    const answer = answers[laneIndex] ?? answers[0];
    if (answer === undefined || answer.text === "") return [];
    return [asked, { role: "assistant", text: answer.text, media: [] }];
  });

/** The first words of a question, as the conversation's title. */
export const titleOf = (text: string): string => {
  const line = text.trim().replaceAll(/\s+/g, " ");
  return line.length > 48 ? `${line.slice(0, 47)}…` : line || "An image";
};
