import type { Interface } from "node:readline";
import { createInterface } from "node:readline";

/** Lines that a person or a pipe gives, one at a time. */
export type ChatInput = {
  /** The next line; undefined at the end of the input. */
  next(prompt: string): Promise<string | undefined>;
  close(): void;
};

/** Asked again after Ctrl-C at the prompt, which leaves the line and not the program. */
const askOnce = (
  prompt: string,
  history: string[],
  onInterrupt: () => void,
): Promise<string | undefined> =>
  new Promise((resolve) => {
    const reader: Interface = createInterface({
      input: process.stdin,
      output: process.stderr,
      history: [...history],
      terminal: true,
    });
    let line: string | undefined;
    reader.on("SIGINT", () => {
      onInterrupt();
      // Clears what was typed and shows the prompt again.
      reader.write(null, { ctrl: true, name: "e" });
      reader.write(null, { ctrl: true, name: "u" });
      reader.prompt();
    });
    reader.on("line", (given) => {
      line = given;
      if (given.trim() !== "") history.unshift(given);
      reader.close();
    });
    reader.on("close", () => resolve(line));
    reader.setPrompt(prompt);
    reader.prompt();
  });

/**
 * A terminal is read only while a line is asked for: in between it is left alone, so that Ctrl-C is
 * a signal there. Pipes are read line by line without prompts.
 */
export const createChatInput = (onInterrupt: () => void): ChatInput => {
  if (process.stdin.isTTY) {
    const history: string[] = [];
    return { next: (prompt) => askOnce(prompt, history, onInterrupt), close: () => {} };
  }
  const reader = createInterface({ input: process.stdin, terminal: false });
  const lines = reader[Symbol.asyncIterator]();
  return {
    next: async () => {
      const { value, done } = await lines.next();
      return done ? undefined : value;
    },
    close: () => reader.close(),
  };
};
