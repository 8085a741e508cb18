/** `saccade ask MODEL [attachments] QUESTION`: one question, its answer streamed. */
import { appendFile } from "node:fs/promises";
import type { Command } from "commander";
import type { Answer } from "../generate/answer.js";
import type { PromptCount, VisionLanguageModel } from "../generate/model.js";
import { createSampler } from "../generate/sampling.js";
import type { ChatMessage } from "../text/chat-message.js";
import { printAnswer, reportAnswer } from "./answer-report.js";
import {
  closeAll,
  describeMedia,
  isOpen,
  type OpenedMedia,
  openAttachments,
  samplingOf,
} from "./attachments.js";
import type { CommandContext } from "./command-context.js";
import { UsageError } from "./exit.js";
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
  option,
} from "./options.js";
import { isPiped, readStandardInput, textIn } from "./standard-input.js";
import type { Terminal } from "./terminal.js";

type AskFlags = ModelFlags &
  AnswerFlags &
  Omit<MediaFlags, "attachments"> & {
    readonly json?: boolean;
    readonly dryRun?: boolean;
    readonly logJsonl?: string;
  };

/** What is asked, once arguments and standard input have been sorted out. */
type Asked = {
  readonly question: string;
  readonly attachments: readonly Attachment[];
  readonly readInput: () => Promise<Uint8Array>;
};

/**
 * `--image a.png b.png QUESTION` leaves b.png among the words: with `--image`, words before the
 * question are images too.
 */
const splitWords = (
  words: readonly string[],
  attachments: readonly Attachment[],
): { question?: string; attachments: readonly Attachment[] } => {
  const question = words.at(-1);
  const others = words.slice(0, -1);
  if (others.length === 0) return { question, attachments };
  if (!attachments.some(({ kind }) => kind === "image")) {
    throw new UsageError(
      `ask takes one question, got ${words.length} arguments; put the question in quotes`,
    );
  }
  const images = others.map((path): Attachment => ({ kind: "image", path }));
  return { question, attachments: [...attachments, ...images] };
};

/** Decides what standard input is: an attachment, the question, or left alone. */
const gatherAsked = async (
  words: readonly string[],
  given: readonly Attachment[],
  { terminal, signal }: CommandContext,
): Promise<Asked> => {
  const { question, attachments } = splitWords(words, given);
  let bytes: Promise<Uint8Array> | undefined;
  const readInput = () => {
    bytes ??= readStandardInput(terminal, signal);
    return bytes;
  };
  const isAttached = attachments.some(({ path }) => path === "-");
  if (question !== undefined) {
    if (attachments.length > 0 || !isPiped()) return { question, attachments, readInput };
    const input = await readInput();
    if (input.byteLength === 0) return { question, attachments, readInput };
    if (textIn(input) !== undefined) {
      throw new UsageError(
        "the question is given twice, as an argument and on standard input; leave one out (`< /dev/null` closes standard input)",
      );
    }
    return { question, attachments: [{ kind: "any", path: "-" }], readInput };
  }
  if (isAttached || process.stdin.isTTY) {
    throw new UsageError('ask needs a question: saccade ask MODEL --image FILE "What is this?"');
  }
  const text = textIn(await readInput());
  if (text) return { question: text, attachments, readInput };
  throw new UsageError(
    text === undefined
      ? "standard input holds no text; with an image there, give the question as an argument"
      : "ask needs a question, as an argument or on standard input; got neither",
  );
};

const messagesOf = (
  question: string,
  media: readonly OpenedMedia[],
  system: string | undefined,
): ChatMessage[] => [
  ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
  {
    role: "user",
    content: [...media.map(({ media: { type } }) => ({ type })), { type: "text", text: question }],
  },
];

const dryRunText = (model: VisionLanguageModel, count: PromptCount): string =>
  `prompt: ${count.media.some(isOpen) ? "at most " : ""}${count.promptTokens} tokens (${count.textTokens} text, ${count.imageTokens} image, ${count.videoTokens} video) of ${model.contextLength}\n`;

const toJsonLine = (value: unknown): string => `${JSON.stringify(value)}\n`;

const showMedia = (
  terminal: Terminal,
  opened: readonly OpenedMedia[],
  reports: PromptCount["media"],
): void => {
  reports.forEach((report, index) => {
    terminal.notice(terminal.noticeColors.dim(describeMedia(opened[index].label, report)));
  });
};

export const ask = async (
  modelName: string,
  words: readonly string[],
  { attachments: given, ...flags }: AskFlags & Pick<MediaFlags, "attachments">,
  context: CommandContext,
): Promise<void> => {
  const { terminal, signal } = context;
  const options = generateOptionsOf(flags);
  const sampling = samplingOf(flags);
  // A wrong value is told before anything is loaded.
  createSampler(options);
  const { question, attachments, readInput } = await gatherAsked(words, given, context);
  const opened = await openAttachments(attachments, sampling, readInput);
  let model: VisionLanguageModel | undefined;
  try {
    model = await openModel(modelName, loadOptionsOf(flags), terminal, signal);
    const request = {
      ...options,
      messages: messagesOf(question, opened, flags.system),
      media: opened.map(({ media }) => media),
      signal,
      onProgress: (done: number, total: number) => {
        if (total > 1) terminal.progress(`seen ${done} of ${total}`);
      },
    };
    if (flags.dryRun) {
      const count = model.count(request);
      showMedia(terminal, opened, count.media);
      const { name, contextLength } = model;
      const report = { dryRun: true, model: name, contextLength, ...count };
      await terminal.write(flags.json ? toJsonLine(report) : dryRunText(model, count));
      return;
    }
    const events = model.stream(request);
    const silent: Terminal = { ...terminal, isInteractive: false, write: async () => {} };
    const answer: Answer = await printAnswer(events, flags.json ? silent : terminal, (planned) =>
      showMedia(terminal, opened, planned.media),
    );
    const record = { model: model.name, ...answer };
    if (flags.json) await terminal.write(toJsonLine(record));
    reportAnswer(answer, flags.json ? silent : terminal);
    if (flags.logJsonl !== undefined) {
      const asked = { question, system: flags.system, attachments };
      const time = new Date().toISOString();
      await appendFile(flags.logJsonl, toJsonLine({ time, ...asked, options, ...record }));
    }
  } finally {
    await closeAll(opened);
    await model?.close();
  }
};

/** Adds `ask` to the program. */
export const addAskCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("ask")
    .summary("ask about images or a video")
    .description(
      "Asks one question and streams the answer. Without a question, standard input is the question; with one, an image or video piped in is attached.",
    )
    .argument("<model>", "folder, or hub repository org/name")
    .argument("[question...]", "the question, in quotes");
  const attachments = addMediaOptions(command);
  addModelOptions(addAnswerOptions(command))
    .addOption(option("--json", "one JSON object on standard output"))
    .addOption(option("--log-jsonl <file>", "append question and answer to a file of JSON lines"))
    .addOption(option("--dry-run", "plan and count tokens only"))
    .action((model: string, words: string[], flags: AskFlags) =>
      ask(model, words, { ...flags, attachments: attachments() }, contextOf()),
    );
};
