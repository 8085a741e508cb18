import { fstatSync } from "node:fs";
import { LimitError } from "../errors.js";
import type { Terminal } from "./terminal.js";

/** Most bytes taken from standard input: the limit of image files. */
const maxInputBytes = 256 * 2 ** 20;
const patienceMs = 2000;

/**
 * Whether a shell has put something behind standard input: a pipe or a file. A terminal has not, and
 * neither has the socket that a parent program may leave open for ever; that is read only when asked.
 */
export const isPiped = (): boolean => {
  try {
    const stats = fstatSync(0);
    return stats.isFIFO() || stats.isFile();
  } catch {
    return false;
  }
};

/** All of standard input. Throws `LimitError` above `maxInputBytes`. */
export const readStandardInput = async (
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Uint8Array> => {
  const impatience = setTimeout(() => {
    terminal.notice("waiting for standard input (`< /dev/null` leaves it out)");
  }, patienceMs);
  const stop = () => process.stdin.destroy(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  try {
    const chunks: Uint8Array[] = [];
    let numBytes = 0;
    for await (const chunk of process.stdin as AsyncIterable<Uint8Array>) {
      clearTimeout(impatience);
      chunks.push(chunk);
      numBytes += chunk.byteLength;
      if (numBytes > maxInputBytes) {
        throw new LimitError(
          `ask: standard input holds at most ${maxInputBytes} bytes, got more; save it to a file and name that`,
        );
      }
    }
    return new Uint8Array(Buffer.concat(chunks));
  } finally {
    clearTimeout(impatience);
    signal.removeEventListener("abort", stop);
  }
};

/** The text in `bytes`, or undefined where they are no UTF-8 text. */
export const textIn = (bytes: Uint8Array): string | undefined => {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text.includes("\0") ? undefined : text.trim();
  } catch {
    return undefined;
  }
};
