import { useEffect, useState } from "preact/hooks";
import type { Answerer } from "../answer/answerer.js";
import { type Attachment, type Conversation, type Lane, messagesOf } from "../data/conversation.js";
import type { Settings } from "../data/settings.js";
import type { LanePlan } from "./attachments.js";

/** Typing and dragging should not ask at every step. */
const quietMs = 250;

/** What the next question will cost every lane, kept up to date while it is written. */
export const usePlans = ({
  text,
  media,
  settings,
  conversation,
  isReady,
  numReady,
  answererOf,
}: {
  readonly text: string;
  readonly media: readonly Attachment[];
  readonly settings: Settings;
  readonly conversation: Conversation;
  /** False while nothing should be asked. */
  readonly isReady: boolean;
  /** Models that have become ready in this browser; one more may tell now. */
  readonly numReady: number;
  /** Undefined for a lane that cannot tell yet. */
  readonly answererOf: (lane: Lane) => Answerer | undefined;
}): readonly LanePlan[] => {
  const [plans, setPlans] = useState<readonly LanePlan[]>([]);
  const isEmpty = text.trim() === "" && media.length === 0;
  useEffect(() => {
    if (!isReady || isEmpty) {
      setPlans([]);
      return;
    }
    const controller = new AbortController();
    const { signal } = controller;
    const planOne = async (lane: Lane, index: number): Promise<LanePlan> => {
      const answerer = answererOf(lane);
      if (answerer === undefined) return {};
      const open = { id: "", text: text.trim() || "?", media, answers: [] };
      const messages = messagesOf([...conversation.turns, open], index);
      try {
        return {
          plan: await answerer.plan({ ...settings, budget: lane.budget, messages }, signal),
        };
      } catch (error) {
        return { problem: error instanceof Error ? error.message : String(error) };
      }
    };
    const timer = setTimeout(async () => {
      const found = await Promise.all(settings.lanes.map(planOne));
      if (!signal.aborted) setPlans(found);
    }, quietMs);
    return () => {
      clearTimeout(timer);
      controller.abort();
    };
  }, [text, media, settings, conversation, isReady, isEmpty, numReady, answererOf]);
  return plans;
};
