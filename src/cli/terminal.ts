import pc from "picocolors";

/** Colour of a stream: `auto` asks whether it is a terminal and whether NO_COLOR is set. */
export type ColorChoice = "auto" | "on" | "off";

export type Colors = ReturnType<typeof pc.createColors>;

/** Standard output was closed by its reader (`saccade … | head`): there is nobody to write to. */
export class OutputClosed extends Error {}

/** Data goes to standard output, everything else to standard error. */
export type Terminal = {
  /** Whether standard output is read by a person. */
  readonly isInteractive: boolean;
  readonly width: number;
  readonly colors: Colors;
  /** Colours of standard error. */
  readonly noticeColors: Colors;
  /** Writes data as it is; waits while the reader is slow. Throws `OutputClosed`. */
  write(text: string): Promise<void>;
  /** A line for people, on standard error. */
  notice(text: string): void;
  /** A line that the next one overwrites; nothing unless standard error is a terminal. */
  progress(text: string): void;
};

type Stream = NodeJS.WriteStream & { readonly isTTY?: boolean };

const usesColor = (choice: ColorChoice, stream: Stream, environment: NodeJS.ProcessEnv): boolean =>
  choice === "on" ||
  (choice === "auto" &&
    stream.isTTY === true &&
    !environment.NO_COLOR &&
    environment.TERM !== "dumb");

export type TerminalOptions = {
  readonly color?: ColorChoice;
  readonly stdout?: Stream;
  readonly stderr?: Stream;
  readonly environment?: NodeJS.ProcessEnv;
};

export const createTerminal = ({
  color = "auto",
  stdout = process.stdout,
  stderr = process.stderr,
  environment = process.env,
}: TerminalOptions = {}): Terminal => {
  let shownProgress = false;
  const clearProgress = (): void => {
    if (shownProgress) stderr.write("\r\x1b[K");
    shownProgress = false;
  };
  return {
    isInteractive: stdout.isTTY === true,
    width: stdout.columns ?? 100,
    colors: pc.createColors(usesColor(color, stdout, environment)),
    noticeColors: pc.createColors(usesColor(color, stderr, environment)),
    write: (text) =>
      new Promise((resolve, reject) => {
        clearProgress();
        stdout.write(text, (error) => {
          if (!error) resolve();
          else if ("code" in error && error.code === "EPIPE") reject(new OutputClosed());
          else reject(error);
        });
      }),
    notice: (text) => {
      clearProgress();
      stderr.write(`${text}\n`);
    },
    progress: (text) => {
      if (stderr.isTTY !== true) return;
      stderr.write(`\r\x1b[K${text.slice(0, (stderr.columns ?? 80) - 1)}`);
      shownProgress = true;
    },
  };
};

/**
 * Text of a model or a file as it may be shown on a terminal: control characters become visible
 * signs, so that nothing can move the cursor or change the terminal's state.
 */
export const showControls = (text: string): string =>
  Array.from(text, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === "\n" || character === "\t") return character;
    if (code < 0x20) return String.fromCodePoint(0x2400 + code);
    if (code === 0x7f) return "\u2421";
    return code >= 0x80 && code < 0xa0 ? "\ufffd" : character;
  }).join("");
