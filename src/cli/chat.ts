/** `saccade chat MODEL`: a conversation on a terminal, or line by line through a pipe. */
import type { Command } from "commander";
import { SaccadeError } from "../errors.js";
import type { GenerateOptions } from "../generate/answer.js";
import type { Conversation, VisionLanguageModel } from "../generate/model.js";
import { createSampler } from "../generate/sampling.js";
import type { TokenChoice } from "../systems/token-choice.js";
import { printAnswer, reportAnswer } from "./answer-report.js";
import {
  closeAll,
  describeMedia,
  type OpenedMedia,
  openAttachments,
  samplingOf,
} from "./attachments.js";
import { createChatInput } from "./chat-input.js";
import type { CommandContext } from "./command-context.js";
import { Interrupted, UsageError } from "./exit.js";
import { openModel } from "./open-model.js";
import {
  type AnswerFlags,
  type Attachment,
  addAnswerOptions,
  addMediaOptions,
  addModelOptions,
  generateOptionsOf,
  loadOptionsOf,
  type MediaFlags,
  type ModelFlags,
} from "./options.js";

type ChatFlags = ModelFlags & AnswerFlags & MediaFlags;

const help = [
  "/image FILE    attach an image to the next question",
  "/video FILE    attach a video, an animation or a folder of frames",
  "/attach FILE   attach either, by its content",
  "/detail HOW    tokens of images from now on: low, high or auto",
  "/granularity N tokens of a view from now on",
  "/system TEXT   start again with another system text",
  "/reset         start again",
  "/exit          leave (as Ctrl-D); Ctrl-C stops an answer",
].join("\n");

const kinds: Readonly<Record<string, Attachment["kind"]>> = {
  "/image": "image",
  "/video": "video",
  "/attach": "any",
};

/** Commands besides those that attach that need something after them. */
const takesText = new Set(["/system", "/detail", "/granularity"]);

/** Errors after which a conversation goes on: what was asked was refused, nothing was broken. */
const isRefusal = (error: unknown): error is Error =>
  error instanceof SaccadeError || error instanceof UsageError;

/** One conversation and what is attached to its next question. */
class ChatSession {
  private conversation: Conversation;
  /** Everything opened since the last start: a conversation reads its media in every turn. */
  private opened: OpenedMedia[] = [];
  private waiting: OpenedMedia[] = [];

  constructor(
    private readonly model: VisionLanguageModel,
    private options: GenerateOptions,
    private readonly flags: ChatFlags,
    private readonly context: CommandContext,
    private system: string | undefined,
  ) {
    this.conversation = model.startConversation(system);
  }

  /** Asks for other tokens of images; a budget stays. Wrong values are told with the next question. */
  look(choice: TokenChoice): void {
    const { maxSoftTokens } = this.options.choice ?? {};
    const bound = maxSoftTokens === undefined ? {} : { maxSoftTokens };
    this.options = { ...this.options, choice: { ...bound, ...choice } };
  }

  async attach(attachments: readonly Attachment[]): Promise<void> {
    const refuse = (): Promise<never> =>
      Promise.reject(new UsageError("chat reads questions from standard input; attach a file"));
    const opened = await openAttachments(attachments, samplingOf(this.flags), refuse);
    this.opened.push(...opened);
    this.waiting.push(...opened);
  }

  async restart(system = this.system): Promise<void> {
    await this.close();
    this.system = system;
    this.conversation = this.model.startConversation(system);
  }

  /** Asks and prints; Ctrl-C stops the answer and takes the question back. */
  async ask(question: string): Promise<void> {
    const { terminal, signal, onInterrupt } = this.context;
    const stop = new AbortController();
    const release = onInterrupt(() => stop.abort(new Interrupted()));
    const asked = this.waiting;
    try {
      const events = this.conversation.ask(
        [...asked.map(({ media: { type } }) => ({ type })), { type: "text", text: question }],
        asked.map(({ media }) => media),
        { ...this.options, signal: AbortSignal.any([signal, stop.signal]) },
      );
      const answer = await printAnswer(events, terminal, ({ media }) => {
        const added = media.slice(media.length - asked.length);
        added.forEach((report, index) => {
          const line = describeMedia(asked[index].label, report);
          terminal.notice(terminal.noticeColors.dim(line));
        });
      });
      this.waiting = [];
      reportAnswer(answer, terminal);
    } catch (error) {
      if (isRefusal(error)) await this.drop(asked);
      if (!stop.signal.aborted || signal.aborted) throw error;
      await terminal.write("\n");
      terminal.notice(
        "stopped; question and answer are forgotten, attachments wait for the next one",
      );
    } finally {
      release();
    }
  }

  /** Forgets attachments that were refused, so that the conversation can go on without them. */
  private async drop(refused: readonly OpenedMedia[]): Promise<void> {
    this.waiting = [];
    this.opened = this.opened.filter((opened) => !refused.includes(opened));
    await closeAll(refused);
    if (refused.length > 0) {
      const labels = refused.map(({ label }) => label).join(", ");
      this.context.terminal.notice(`dropped: ${labels}`);
    }
  }

  async close(): Promise<void> {
    await this.conversation.close();
    await closeAll(this.opened);
    this.opened = [];
    this.waiting = [];
  }
}

/** Runs one line; false to leave. */
const runLine = async (
  line: string,
  session: ChatSession,
  { terminal }: CommandContext,
): Promise<boolean> => {
  const [, word, rest] = /^(\S+)\s*([\s\S]*)$/.exec(line.trim()) ?? ["", "", ""];
  if (word === "") return true;
  if (!word.startsWith("/")) await session.ask(line.trim());
  else if (word === "/exit" || word === "/quit") return false;
  else if (word === "/reset") await session.restart();
  else if (word === "/help") terminal.notice(help);
  else if (rest === "" && (takesText.has(word) || Object.hasOwn(kinds, word))) {
    throw new UsageError(`${word} needs something after it; /help lists the commands`);
  } else if (word === "/system") await session.restart(rest);
  else if (word === "/detail") session.look({ detail: rest as TokenChoice["detail"] });
  else if (word === "/granularity") session.look({ granularity: Number(rest) });
  else if (Object.hasOwn(kinds, word)) await session.attach([{ kind: kinds[word], path: rest }]);
  else throw new UsageError(`no such command: ${word}; /help lists them`);
  return true;
};

export const chat = async (
  modelName: string,
  flags: ChatFlags,
  context: CommandContext,
): Promise<void> => {
  const { terminal, signal } = context;
  const options = generateOptionsOf(flags);
  createSampler(options);
  samplingOf(flags);
  const model = await openModel(modelName, loadOptionsOf(flags), terminal, signal);
  const input = createChatInput(() => terminal.notice("\n/exit or Ctrl-D leaves"));
  const session = new ChatSession(model, options, flags, context, flags.system);
  try {
    if (process.stdin.isTTY) terminal.notice(`${model.name}; /help lists commands`);
    await session.attach(flags.attachments);
    for (;;) {
      const line = await input.next("> ");
      if (line === undefined) return;
      signal.throwIfAborted();
      try {
        if (!(await runLine(line, session, context))) return;
      } catch (error) {
        if (!isRefusal(error)) throw error;
        terminal.notice(`${terminal.noticeColors.red("error:")} ${error.message}`);
        // Nobody reads along behind a pipe, so that the exit code has to tell.
        if (!process.stdin.isTTY) context.fail();
      }
    }
  } finally {
    input.close();
    await session.close();
    await model.close();
  }
};

/** Adds `chat` to the program. */
export const addChatCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("chat")
    .summary("a conversation about images or a video")
    .description(
      `Asks line by line and remembers. Attachments given as flags belong to the first question.\n\n${help}`,
    )
    .argument("<model>", "folder, or hub repository org/name");
  const attachments = addMediaOptions(command);
  addModelOptions(addAnswerOptions(command)).action(
    (model: string, flags: Omit<ChatFlags, "attachments">) =>
      chat(model, { ...flags, attachments: attachments() }, contextOf()),
  );
};
