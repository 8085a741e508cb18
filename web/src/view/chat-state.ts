/** A conversation under way: asking, streaming, stopping, keeping. */
import { useCallback, useRef, useState } from "preact/hooks";
import type { Answerer } from "../answer/answerer.js";
import {
  type AnswerRecord,
  type Attachment,
  type Conversation,
  emptyConversation,
  type Lane,
  messagesOf,
  newId,
  type Turn,
  titleOf,
} from "../data/conversation.js";
import type { Settings } from "../data/settings.js";

export type Chat = {
  readonly conversation: Conversation;
  readonly isRunning: boolean;
  /** Asks every lane, one after the other, so that none slows down another's figures. */
  ask(text: string, media: readonly Attachment[], settings: Settings): Promise<void>;
  stop(): void;
  open(conversation: Conversation): void;
};

/** Answers that were under way when the page was left have ended. */
const settled = ({ turns, ...rest }: Conversation): Conversation => ({
  ...rest,
  turns: turns.map((turn) => ({
    ...turn,
    answers: turn.answers.map((answer) =>
      answer.state === "running" ? { ...answer, state: "stopped" } : answer,
    ),
  })),
});

export const useChat = ({
  answererOf,
  onChanged,
  onSaid,
}: {
  readonly answererOf: (lane: Lane) => Answerer;
  /** Called when a conversation is worth keeping; answering ends when it is kept. */
  readonly onChanged: (conversation: Conversation) => Promise<void>;
  /** Called with what a person who cannot see the page should hear. */
  readonly onSaid: (text: string) => void;
}): Chat => {
  const [conversation, setConversation] = useState(emptyConversation);
  const [controller, setController] = useState<AbortController>();
  const shown = useRef(conversation);
  const show = useCallback((next: Conversation) => {
    shown.current = next;
    setConversation(next);
  }, []);

  const ask: Chat["ask"] = async (text, media, settings) => {
    const running = new AbortController();
    const { signal } = running;
    setController(running);
    const turn: Turn = {
      id: newId(),
      text,
      media,
      answers: settings.lanes.map((lane): AnswerRecord => ({ lane, state: "running", text: "" })),
    };
    const before = shown.current;
    let current: Conversation = {
      ...before,
      title: before.title || titleOf(text),
      changedAt: Date.now(),
      turns: [...before.turns, turn],
    };
    const keep = () => {
      if (shown.current.id === current.id) show(current);
    };
    const change = (laneIndex: number, part: Partial<AnswerRecord>) => {
      const turns = current.turns.map((each) =>
        each.id === turn.id
          ? {
              ...each,
              answers: each.answers.map((answer, index) =>
                index === laneIndex ? { ...answer, ...part } : answer,
              ),
            }
          : each,
      );
      current = { ...current, turns };
      keep();
    };
    keep();
    onChanged(current);
    onSaid("Answering.");
    for (const [index, lane] of settings.lanes.entries()) {
      let said = "";
      try {
        signal.throwIfAborted();
        const asked = {
          ...settings,
          budget: lane.budget,
          messages: messagesOf(current.turns, index),
        };
        const figures = await answererOf(lane).answer(
          asked,
          {
            onPlan: (plan) => change(index, { plan }),
            onText: (piece) => {
              said += piece;
              change(index, { text: said });
            },
          },
          signal,
        );
        change(index, { state: "done", figures });
        onSaid(`${lane.model}: ${said}`);
      } catch (error) {
        if (signal.aborted) {
          change(index, { state: "stopped" });
          onSaid("Stopped.");
          continue;
        }
        const reason = error instanceof Error ? error.message : String(error);
        change(index, { state: "failed", error: reason });
        onSaid(`${lane.model} failed: ${reason}`);
      }
    }
    await onChanged(current);
    setController(undefined);
  };

  return {
    conversation,
    isRunning: controller !== undefined,
    ask,
    stop: () => controller?.abort(new DOMException("Stopped", "AbortError")),
    open: (next) => show(settled(next)),
  };
};
