import type { Terminal } from "./terminal.js";

/** What every command gets besides its own arguments. */
export type CommandContext = {
  readonly terminal: Terminal;
  /** Aborted by Ctrl-C, or when nobody reads the output any more. */
  readonly signal: AbortSignal;
  /** Sets the exit code of a command that has said all there is to say. */
  readonly fail: () => void;
  /** Takes Ctrl-C for itself while it answers, instead of ending the program; undone by the result. */
  readonly onInterrupt: (handler: () => void) => () => void;
};
