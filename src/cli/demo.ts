/** `saccade demo`: the embedded models look at pictures that they were not trained on, side by side. */
import { createServer } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { kvBytesPerToken } from "../cost/kv-bytes.js";
import { openJsonDataset } from "../data/json-dataset.node.js";
import { RecordError } from "../errors.js";
import type { Answer } from "../generate/answer.js";
import { loadModel } from "../generate/load-model.node.js";
import type { VisionLanguageModel } from "../generate/model.js";
import { decodeImage } from "../image/decode.node.js";
import type { RgbImage } from "../image/image.js";
import { textOf } from "../text/chat-message.js";
import type { CommandContext } from "./command-context.js";
import { previewImage } from "./image-preview.js";
import { addEngineOptions, type EngineFlags, option, parseCount } from "./options.js";
import { formatBytes } from "./quantities.js";
import { serve } from "./serve.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";
import { showControls } from "./terminal.js";

type DemoFlags = EngineFlags & { readonly questions?: number; readonly serve?: boolean };

/** The first scenes of the test split, as `saccade scenes` writes them. */
const scenesFile = fileURLToPath(new URL("../../examples/scenes/scenes.json", import.meta.url));
const systems = [
  ["LLaVA-Mini", "llava-mini-scenes"],
  ["AVG-LLaVA", "avg-llava-scenes"],
  ["LLaVA", "llava-scenes"],
] as const;
const defaultQuestions = 5;
const previewColumns = 40;

type Example = {
  readonly path: string;
  readonly image: RgbImage;
  readonly questions: readonly { readonly question: string; readonly answer: string }[];
};

const readExamples = async (numQuestions: number): Promise<Example[]> => {
  const reader = await openJsonDataset(scenesFile, "llava", { mediaRoot: dirname(scenesFile) });
  try {
    const examples: Example[] = [];
    for (let index = 0; index < reader.length; index++) {
      const result = await reader.read(index);
      if ("bad" in result) throw new RecordError(result.bad.message);
      const { media, messages } = result.sample;
      const [medium] = media;
      if (medium === undefined || !("path" in medium)) continue;
      const texts = messages.map((message) => textOf(message).trim());
      const questions = texts
        .flatMap((text, turn) =>
          turn % 2 === 0 ? [{ question: text, answer: texts[turn + 1] }] : [],
        )
        .slice(0, numQuestions);
      examples.push({ path: medium.path, image: await decodeImage(medium.path), questions });
    }
    return examples;
  } finally {
    await reader.close();
  }
};

type OpenedSystem = { readonly title: string; readonly model: VisionLanguageModel };

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;
const ms = (values: readonly number[]): string => `${mean(values).toFixed(1)} ms`;

/** One number, or from which to which. */
const span = (values: readonly number[]): string => {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  return least === most ? String(most) : `${least} to ${most}`;
};

/** What an image and a question take, in means over the answers. */
const costRow = ({ title, model }: OpenedSystem, answers: readonly Answer[]): string[] => {
  const [{ usage, media }] = answers;
  const [{ views }] = media;
  const imageTokens = answers.map((answer) => answer.usage.imageTokens);
  const bytes = mean(imageTokens) * kvBytesPerToken(model.system.language);
  return [
    title,
    views.map(({ width, height }) => `${width}x${height}`).join(", "),
    span(imageTokens),
    String(usage.textTokens),
    formatBytes(bytes),
    ms(answers.map(({ timings }) => timings.visionMs)),
    ms(answers.map(({ timings }) => timings.fusionMs)),
    ms(answers.map(({ timings }) => timings.prefillMs)),
    ms(answers.map(({ timings }) => timings.firstTokenMs)),
  ];
};
const costHeader = [
  "system",
  "sees",
  "image tokens",
  "text tokens",
  "image's KV cache",
  "vision",
  "fusion",
  "prefill",
  "first token",
];

const showExample = async (
  { path, image, questions }: Example,
  opened: readonly OpenedSystem[],
  terminal: Terminal,
  signal: AbortSignal,
): Promise<Map<OpenedSystem, Answer[]>> => {
  const { colors } = terminal;
  const answers = new Map(opened.map((system) => [system, [] as Answer[]]));
  const rows: string[][] = [];
  for (const { question, answer } of questions) {
    const row = [question];
    for (const system of opened) {
      terminal.progress(`${system.title}: ${question}`);
      const given = await system.model.answer({
        messages: [
          { role: "user", content: [{ type: "image" }, { type: "text", text: question }] },
        ],
        media: [{ type: "image", image }],
        maxTokens: 16,
        signal,
      });
      answers.get(system)?.push(given);
      const text = showControls(given.text).trim();
      const shown = text === answer ? colors.green(text) : colors.red(text);
      const [route] = given.media[0].routes ?? [];
      row.push(route === undefined ? shown : `${shown} ${colors.dim(`(${route.granularity})`)}`);
    }
    rows.push([...row, answer]);
  }
  const header = ["question", ...opened.map(({ title }) => title), "right answer"];
  const indent = (lines: readonly string[]) => lines.map((line) => `  ${line}`).join("\n");
  await terminal.write(
    `${[
      "",
      ...(colors.isColorSupported ? [indent(previewImage(image, previewColumns))] : []),
      colors.dim(`  ${path}, ${image.width}x${image.height}`),
      "",
      indent(formatTable(header, rows, colors).split("\n")),
    ].join("\n")}\n`,
  );
  return answers;
};

const defaultPort = 8080;

/** Whether nobody listens on the port of this machine. */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });

/** `saccade serve` without flags, on another port where its own is taken. */
const serveEmbedded = async (context: CommandContext): Promise<void> => {
  await context.terminal.write(
    "The embedded models as a page and an OpenAI-compatible server, until Ctrl-C:\n\n",
  );
  const port = (await isFree(defaultPort)) ? defaultPort : 0;
  await serve({ log: "errors", port }, context);
};

/** Asks the embedded models about the example scenes and shows what that took. */
const showExamples = async (
  { questions = defaultQuestions, serve: _, ...flags }: DemoFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const { colors } = terminal;
  const opened: OpenedSystem[] = [];
  try {
    for (const [title, name] of systems) {
      terminal.progress(`loading ${name}`);
      const model = await loadModel(name, { ...flags, signal, offline: true });
      opened.push({ title, model });
    }
    const examples = await readExamples(questions);
    await terminal.write(
      `\n${colors.bold("Saccade")}  ${examples.length} pictures that training never saw; LLaVA-Mini fuses picture and question into one\nvision token, AVG-LLaVA's router chooses for each question how many to read (in brackets), LLaVA reads all 36.\nThey were trained by this program on generated scenes.\n`,
    );
    const all = new Map(opened.map((system) => [system, [] as Answer[]]));
    for (const example of examples)
      for (const [system, answers] of await showExample(example, opened, terminal, signal))
        all.get(system)?.push(...answers);
    const rows = [...all].map(([system, answers]) => costRow(system, answers));
    await terminal.write(
      `${[
        "",
        `What a question took (means of ${all.get(opened[0])?.length}; the first picture's include opening the sessions):`,
        "",
        ...formatTable(costHeader, rows, colors)
          .split("\n")
          .map((line) => `  ${line}`),
        "",
        '  saccade ask llava-mini-scenes --image picture.png "What is at the top left?"',
        "  saccade eval llava-mini-scenes --scenes test      2,000 questions, per family, with intervals",
        "  saccade inspect llava-mini-scenes                 what an image costs before anything runs",
        "",
        colors.dim("What these small models can and cannot do: models/llava-mini-scenes/README.md"),
        "",
      ].join("\n")}\n`,
    );
  } finally {
    for (const { model } of opened) await model.close();
  }
};

export const demo = async (flags: DemoFlags, context: CommandContext): Promise<void> => {
  await showExamples(flags, context);
  if (flags.serve) await serveEmbedded(context);
};

/** Adds `demo` to the program. */
export const addDemoCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("demo")
    .summary("the embedded models look at pictures (what `npm start` runs)")
    .description(
      "Asks the embedded LLaVA-Mini, AVG-LLaVA and full-token LLaVA the same questions about the first scenes of the test split, and shows answers, the right ones, tokens, memory and times.",
    )
    .addOption(
      option(
        "--questions <n>",
        `of each picture, at most (default: ${defaultQuestions})`,
      ).argParser(parseCount),
    )
    .addOption(option("--serve", "then serve the embedded models, with a page, until stopped"));
  addEngineOptions(command).action((flags: DemoFlags) => demo(flags, contextOf()));
};
