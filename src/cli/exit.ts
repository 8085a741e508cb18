import { CommanderError } from "commander";
import { OptionsError, SaccadeError } from "../errors.js";
import { OutputClosed } from "./terminal.js";

/** What the shell gets. */
export const exitCodes = { ok: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** The command line itself is wrong: the message says how to write it. */
export class UsageError extends Error {}

/** A person pressed Ctrl-C, or the system asked the program to end. */
export class Interrupted extends Error {}

/** How a command that threw ends, and what is said about it. */
export type Ending = { readonly code: number; readonly message?: string };

const messageOf = (error: Error, wantsStack: boolean): string => {
  if (wantsStack) return error.stack ?? String(error);
  return error instanceof SaccadeError || error instanceof UsageError
    ? error.message
    : `${error.message} (unexpected; SACCADE_DEBUG=1 shows where it happened)`;
};

/** Settles exit code and message of what a command threw. */
export const endingOf = (error: unknown, environment: NodeJS.ProcessEnv): Ending => {
  if (error instanceof OutputClosed) return { code: exitCodes.ok };
  if (error instanceof Interrupted) return { code: exitCodes.interrupted };
  // Commander has written its message already.
  if (error instanceof CommanderError) {
    return { code: error.exitCode === 0 ? exitCodes.ok : exitCodes.usage };
  }
  const given = error instanceof Error ? error : new Error(String(error));
  return {
    code:
      given instanceof UsageError || given instanceof OptionsError
        ? exitCodes.usage
        : exitCodes.failure,
    message: messageOf(given, environment.SACCADE_DEBUG === "1"),
  };
};
