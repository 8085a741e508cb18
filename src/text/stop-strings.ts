import { OptionsError } from "../errors.js";

export type StopMatcher = {
  /**
   * Takes the next piece of text. `text` may be shown; what might be the start of a stop string is held back. Once
   * `stop` is set, the stream is over and everything later is ignored.
   */
  readonly push: (piece: string) => { readonly text: string; readonly stop?: string };
  /** Ends the stream without a stop; returns what was held back. */
  readonly finish: () => string;
};

/** Length of the longest end of `text` that a stop string could continue. */
const pendingLength = (text: string, stops: readonly string[]): number => {
  const longest = Math.max(0, ...stops.map((stop) => stop.length - 1));
  for (let length = Math.min(longest, text.length); length > 0; length--) {
    const end = text.slice(text.length - length);
    if (stops.some((stop) => stop.length > length && stop.startsWith(end))) return length;
  }
  return 0;
};

/** The stop string that is complete first; of several that end together, the one that begins first. */
const firstStop = (text: string, stops: readonly string[]) => {
  let best: { stop: string; start: number; end: number } | undefined;
  for (const stop of stops) {
    const start = text.indexOf(stop);
    const end = start + stop.length;
    if (start >= 0 && (!best || end < best.end || (end === best.end && start < best.start)))
      best = { stop, start, end };
  }
  return best;
};

/**
 * Watches a stream of text for stop strings. Law: the shown text is the stream up to the first completed stop string,
 * however the stream is cut into pieces; it contains no stop string.
 *
 * @throws OptionsError for an empty stop string.
 */
export const createStopMatcher = (stops: readonly string[]): StopMatcher => {
  if (stops.includes(""))
    throw new OptionsError(
      'createStopMatcher: stop strings must not be empty, got "". Leave the empty one out.',
    );
  let held = "";
  let stopped: string | undefined;
  return {
    push: (piece) => {
      if (stopped !== undefined) return { text: "", stop: stopped };
      const pending = held + piece;
      const match = firstStop(pending, stops);
      if (match) {
        stopped = match.stop;
        held = "";
        return { text: pending.slice(0, match.start), stop: stopped };
      }
      const length = pendingLength(pending, stops);
      held = pending.slice(pending.length - length);
      return { text: pending.slice(0, pending.length - length) };
    },
    finish: () => {
      const rest = held;
      held = "";
      return rest;
    },
  };
};
