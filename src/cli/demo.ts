/** `saccade demo`: two systems look at one picture; what each of them takes for it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import { kvBytesPerToken } from "../cost/kv-bytes.js";
import type { Answer } from "../generate/answer.js";
import { loadModel } from "../generate/load-model.node.js";
import { writeNewModel } from "../load/new-model.node.js";
import type { PresetName } from "../load/presets.js";
import type { CommandContext } from "./command-context.js";
import { drawExampleImage } from "./example-image.js";
import { previewImage } from "./image-preview.js";
import { addEngineOptions, type EngineFlags } from "./options.js";
import { formatBytes, formatCount } from "./quantities.js";
import { formatTable } from "./table.js";
import { showControls } from "./terminal.js";

const questions = ["What is in the image?", "What colour is the ball?"] as const;
const systems: readonly (readonly [title: string, preset: PresetName])[] = [
  ["LLaVA", "tiny-llava"],
  ["LLaVA-Mini", "tiny-llava-mini"],
];
const answerTokens = 12;
const previewColumns = 44;

type SystemRun = {
  readonly title: string;
  readonly parameters: number;
  readonly answers: readonly Answer[];
  readonly kvBytesPerToken: number;
};

const runSystem = async (
  [title, preset]: (typeof systems)[number],
  folder: string,
  flags: EngineFlags,
  { terminal, signal }: CommandContext,
): Promise<SystemRun> => {
  terminal.progress(`making and loading ${preset}`);
  const { path, parameters } = await writeNewModel(join(folder, preset), preset, 0);
  const model = await loadModel(path, { ...flags, signal, offline: true });
  const image = drawExampleImage();
  const answers: Answer[] = [];
  try {
    for (const question of questions) {
      const content = [{ type: "image" }, { type: "text", text: question }] as const;
      answers.push(
        await model.answer({
          messages: [{ role: "user", content }],
          media: [{ type: "image", image }],
          maxTokens: answerTokens,
          // Always the most likely token would repeat itself: nothing has been learned.
          temperature: 1,
          seed: 7,
          signal,
        }),
      );
    }
  } finally {
    await model.close();
  }
  return {
    title,
    parameters,
    answers,
    kvBytesPerToken: kvBytesPerToken(model.system.language),
  };
};

const ms = (value: number): string => `${value.toFixed(1)} ms`;

const header = ["system", "views", "image", "+ text", "vision", "fusion", "prefill", "KV"];

const rowOf = ({ title, kvBytesPerToken }: SystemRun, { media, usage, timings }: Answer) => {
  const [{ views }] = media;
  return [
    title,
    `${views.length} of ${views[0].width}x${views[0].height}`,
    `${usage.imageTokens} token${usage.imageTokens === 1 ? "" : "s"}`,
    String(usage.textTokens),
    ms(timings.visionMs),
    ms(timings.fusionMs),
    ms(timings.prefillMs),
    formatBytes(usage.promptTokens * kvBytesPerToken),
  ];
};

export const demo = async (flags: EngineFlags, context: CommandContext): Promise<void> => {
  const { terminal } = context;
  const { colors } = terminal;
  const folder = await mkdtemp(join(tmpdir(), "saccade-demo-"));
  try {
    const runs: SystemRun[] = [];
    for (const system of systems) runs.push(await runSystem(system, folder, flags, context));
    const image = drawExampleImage();
    const lines = [
      "",
      `${colors.bold("Saccade")}  one picture, two ways to look at it`,
      "",
      ...(colors.isColorSupported
        ? [...previewImage(image, previewColumns).map((line) => `  ${line}`), ""]
        : []),
      colors.dim(
        `  ${image.width}x${image.height}: a red ball and a tree on a green hill under the sun, drawn by this program`,
      ),
    ];
    questions.forEach((question, index) => {
      const rows = runs.map((run) => rowOf(run, run.answers[index]));
      const table = formatTable(header, rows, colors);
      lines.push("", `  ${colors.cyan(question)}`);
      lines.push(...table.split("\n").map((line) => `    ${line}`));
      for (const { title, answers } of runs) {
        const text = showControls(answers[index].text).replaceAll("\n", " ");
        lines.push(colors.dim(`    ${title} says: ${JSON.stringify(text)}`));
      }
    });
    const sizes = runs.map(({ title, parameters }) => `${title} ${formatCount(parameters)}`);
    lines.push(
      "",
      ...[
        "These models are untrained: their weights were drawn at random a moment ago, so that what",
        "they say means nothing. Views, tokens, memory (KV) and times are real: those of models of",
        `this size (parameters: ${sizes.join(", ")}). The first question's`,
        "times include opening the sessions; for the second one the picture has been seen already.",
      ].map((line) => `  ${colors.yellow(line)}`),
      "",
      "  saccade init my-model --preset tiny-llava-mini     a model folder of your own",
      '  saccade ask my-model --image photo.jpg "What is this?"',
      "  saccade inspect my-model                           what an image costs before anything runs",
      "",
    );
    await terminal.write(`${lines.join("\n")}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

/** Adds `demo` to the program. */
export const addDemoCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("demo")
    .summary("two systems look at one picture (what `npm start` runs)")
    .description(
      "Makes a tiny LLaVA and a tiny LLaVA-Mini with random weights, asks both two questions about one picture, and shows what each takes for it. The models are untrained: what they say means nothing.",
    );
  addEngineOptions(command).action((flags: EngineFlags) => demo(flags, contextOf()));
};
