import type { Answer, AnswerEvent } from "../generate/answer.js";
import { showControls, type Terminal } from "./terminal.js";

/**
 * Streams an answer's text to standard output, harmless on a terminal and as it is elsewhere. `onPlan`
 * is told what each medium takes, and again where a router has chosen.
 */
export const printAnswer = async (
  events: AsyncGenerator<AnswerEvent, Answer>,
  terminal: Terminal,
  onPlan: (event: AnswerEvent & { type: "start" | "routed" }) => void,
): Promise<Answer> => {
  for (;;) {
    const next = await events.next();
    if (next.done) {
      await terminal.write("\n");
      return next.value;
    }
    const event = next.value;
    if (event.type !== "text") onPlan(event);
    else await terminal.write(terminal.isInteractive ? showControls(event.text) : event.text);
  }
};

/** Tells on standard error when an answer was cut; on a terminal also what it took. */
export const reportAnswer = (answer: Answer, terminal: Terminal): void => {
  const { usage, timings, finishReason } = answer;
  if (finishReason === "length") {
    terminal.notice(
      `cut after ${usage.completionTokens} tokens, by --max-tokens or the end of the context`,
    );
  }
  if (!terminal.isInteractive) return;
  const routes = answer.media.flatMap((medium) => medium.routes ?? []);
  const seenAt = [...new Set(routes.map(({ granularity }) => granularity))].join(", ");
  const parts = [
    ...(seenAt === "" ? [] : [`seen at ${seenAt} tokens a view`]),
    `${usage.promptTokens} + ${usage.completionTokens} tokens`,
    ...(usage.cachedTokens > 0 ? [`${usage.cachedTokens} from the cache`] : []),
    `first after ${timings.firstTokenMs.toFixed(0)} ms`,
    `${timings.tokensPerSecond.toFixed(1)} tokens/s`,
  ];
  terminal.notice(terminal.noticeColors.dim(parts.join(", ")));
};
