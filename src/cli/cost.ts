/** `saccade cost`: what a request costs, before anything runs and without weights. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { type ConventionName, conventionNames, conventions } from "../cost/convention.js";
import { drawCostCharts } from "../cost/cost-charts.js";
import {
  type CostEstimator,
  type CostReport,
  type CostRequest,
  createCostEstimator,
} from "../cost/cost-report.js";
import { OptionsError } from "../errors.js";
import type { Size } from "../image/image.js";
import { isPreset, presetNames } from "../load/preset-model.js";
import { publishedSizes } from "../load/published-sizes.js";
import { costParts } from "../systems/run-plan.js";
import type { CommandContext } from "./command-context.js";
import { openCostModel } from "./cost-model.js";
import { showDownloads } from "./open-model.js";
import {
  addFolderOptions,
  type FolderFlags,
  loadOptionsOf,
  option,
  parseCount,
  parseInteger,
  parseSize,
} from "./options.js";
import { formatBytes, formatFlops } from "./quantities.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";

type CostFlags = FolderFlags & {
  readonly preset?: string;
  readonly image: Size;
  readonly frames?: number;
  readonly textTokens: number;
  readonly answerTokens: number;
  readonly granularity?: number;
  readonly router?: boolean;
  readonly convention: ConventionName;
  readonly compare?: true | string;
  readonly svg?: string;
  readonly json?: boolean;
};

/** A model of the report, by the name it was asked for. */
type Costed = {
  readonly name: string;
  readonly preset: string | null;
  readonly estimate: CostEstimator;
};

const partTitles: Readonly<Record<(typeof costParts)[number], string>> = {
  vision: "vision encoder",
  projector: "projector",
  compression: "compression",
  fusion: "fusion",
  router: "router",
  prefill: "language model, prompt",
};

const toJson = ({ preset }: Costed, { system, convention, visionTokens, ...rest }: CostReport) => ({
  system,
  preset,
  convention,
  visionTokens,
  ...rest,
});

/** Equal sizes one after the other as one: `4 views of 336x336 (576 patches)`. */
const viewsText = (views: CostReport["views"]): string => {
  const groups: { text: string; count: number }[] = [];
  for (const { width, height, patches } of views) {
    const text = `${width}x${height} (${patches} patches)`;
    const last = groups.at(-1);
    if (last?.text === text) last.count += 1;
    else groups.push({ text, count: 1 });
  }
  return groups.map(({ text, count }) => `${count} of ${text}`).join(", ");
};

const reportText = (
  { name }: Costed,
  report: CostReport,
  { image, frames }: CostFlags,
  { colors }: Terminal,
): string => {
  const { flops, bytes, views, visionTokens, textTokens, answerTokens } = report;
  const size = `${image.width}x${image.height}`;
  const medium = frames === undefined ? `image ${size}` : `video of ${frames} frames ${size}`;
  const prompt = flops.total - (answerTokens - 1) * flops.perToken;
  const share = (operations: number): string => `${((100 * operations) / prompt).toFixed(1)} %`;
  const parts = costParts
    .filter((part) => flops[part] > 0)
    .map((part) => [partTitles[part], formatFlops(flops[part]), share(flops[part])]);
  const rows = [
    ...parts,
    ["all, to the first token", formatFlops(prompt), share(prompt)],
    ["each further token", formatFlops(flops.perToken), "-"],
    ...(answerTokens > 1
      ? [[`answer of ${answerTokens} tokens`, formatFlops(flops.total), "-"]]
      : []),
  ];
  const memory = [
    ["weights", formatBytes(bytes.weights)],
    ["keys and values", formatBytes(bytes.kvCache)],
    ["activations, at most", formatBytes(bytes.activations)],
    ["peak of a process", formatBytes(bytes.peak)],
  ];
  const { description } = conventions[report.convention as ConventionName];
  return [
    colors.bold(name),
    `${medium}: views ${viewsText(views)}`,
    `prompt: ${visionTokens + textTokens} tokens (${visionTokens} of the ${frames === undefined ? "image" : "video"}, ${textTokens} of text)`,
    colors.dim(`convention ${report.convention}: ${description}`),
    "",
    formatTable(["part", "FLOPs", "share"], rows, colors),
    "",
    formatTable(["memory", "bytes"], memory, colors),
    "",
  ].join("\n");
};

const comparisonText = (
  models: readonly Costed[],
  reports: readonly CostReport[],
  { colors }: Terminal,
): string => {
  const [first] = reports;
  const ratio = (of: (report: CostReport) => number, report: CostReport): string =>
    `${(of(report) / of(first)).toPrecision(3)}x`;
  const total = ({ flops }: CostReport): number => flops.total;
  const rows = models.map(({ name }, index) => {
    const report = reports[index];
    const { flops, bytes } = report;
    const encoder = total(report) - flops.prefill - (report.answerTokens - 1) * flops.perToken;
    return [
      name,
      String(report.views.length),
      String(report.visionTokens),
      formatFlops(encoder),
      formatFlops(flops.prefill),
      formatFlops(flops.perToken),
      formatFlops(flops.total),
      ratio(total, report),
      formatBytes(bytes.kvCache),
      formatBytes(bytes.activations),
      formatBytes(bytes.weights),
    ];
  });
  const header = [
    "model",
    "views",
    "tokens",
    "encoder",
    "prompt",
    "per token",
    "total",
    "ratio",
    "KV",
    "activations",
    "weights",
  ];
  const { description } = conventions[first.convention as ConventionName];
  return `${formatTable(header, rows, colors)}\n${colors.dim(`convention ${first.convention}: ${description}`)}\n`;
};

const namesToCompare = (compare: CostFlags["compare"]): readonly string[] => {
  if (compare === undefined) return [];
  if (compare === true) return Object.keys(publishedSizes);
  return compare
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
};

export const cost = async (
  model: string | undefined,
  flags: CostFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const { preset, image, frames, textTokens, answerTokens, granularity, router } = flags;
  const asked = [model, preset].filter((name) => name !== undefined);
  if (asked.length > 1 || (asked.length === 0 && flags.compare === undefined)) {
    throw new OptionsError(
      `cost: give a model or --preset, got ${asked.join(" and ") || "neither"}; presets are ${presetNames.join(", ")}`,
    );
  }
  const options = { ...loadOptionsOf(flags), signal, onProgress: showDownloads(terminal) };
  const convention = conventions[flags.convention];
  const open = async (name: string, asPreset: boolean): Promise<Costed> => {
    const { model: opened, ...weights } = await openCostModel(name, asPreset, options);
    const estimate = createCostEstimator(opened, { convention, ...weights });
    return { name, preset: asPreset ? name : null, estimate };
  };
  const models: Costed[] = [];
  for (const name of asked) models.push(await open(name, preset !== undefined));
  for (const name of namesToCompare(flags.compare)) {
    if (!asked.includes(name)) models.push(await open(name, isPreset(name)));
  }

  const requestOf = ({ estimate }: Costed): [CostRequest, CostReport] => {
    const medium = { ...image, ...(frames !== undefined && { numFrames: frames }) };
    const base = { textTokens, answerTokens };
    const plain: CostRequest = { ...base, media: [medium] };
    if (granularity === undefined) return [plain, estimate(plain)];
    const chosen =
      router === false ? { choice: { granularity } } : ({ routed: granularity } as const);
    const request: CostRequest = { ...base, media: [{ ...medium, ...chosen }] };
    return [request, estimate(request)];
  };
  const results = models.map(requestOf);
  const reports = results.map(([, report]) => report);
  if (flags.json) {
    const json = models.map((one, index) => toJson(one, reports[index]));
    await terminal.write(`${JSON.stringify(flags.compare === undefined ? json[0] : json)}\n`);
  } else if (flags.compare === undefined) {
    await terminal.write(reportText(models[0], reports[0], flags, terminal));
  } else {
    await terminal.write(comparisonText(models, reports, terminal));
  }
  // What a router chooses is not known before it runs.
  if (granularity === undefined && reports.some(({ flops }) => flops.router > 0)) {
    terminal.notice(
      "a router that is asked is taken to choose the finest granularity; --granularity supposes another",
    );
  }
  if (flags.svg !== undefined) {
    await writeFile(flags.svg, drawCostCharts(models, results[0][0], convention.name));
    terminal.notice(`charts: ${flags.svg}`);
  }
};

/** Adds `cost` to the program. */
export const addCostCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("cost")
    .summary("FLOPs and memory of a request, before anything runs")
    .description(
      "Says what a question about an image or video costs, by part: operations, keys and values, activations. Read off the graphs that would run; presets need no weights.",
    )
    .argument("[model]", "folder, or hub repository org/name");
  addFolderOptions(command)
    .addOption(option("--preset <name>", "a published size instead").choices(presetNames))
    .addOption(
      option("--image <size>", "size of the image or the frames, in pixels")
        .default({ width: 640, height: 480 }, "640x480")
        .argParser(parseSize),
    )
    .addOption(option("--frames <n>", "a video of so many frames").argParser(parseCount))
    .addOption(
      option("--text-tokens <n>", "tokens of the prompt besides the image's")
        .default(64)
        .argParser(parseCount),
    )
    .addOption(
      option("--answer-tokens <n>", "tokens of the answer").default(1).argParser(parseCount),
    )
    .addOption(
      option("--granularity <n>", "AVG-LLaVA: tokens of a view that the router chooses").argParser(
        parseInteger,
      ),
    )
    .addOption(option("--no-router", "AVG-LLaVA: --granularity is asked for, no router runs"))
    .addOption(
      option("--convention <name>", "how operations are counted")
        .default("true")
        .choices(conventionNames),
    )
    .addOption(
      option("--compare [names]", "beside other models or presets (default: all published)"),
    )
    .addOption(option("--svg <file>", "draw charts against resolution, frames and text"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((model: string | undefined, flags: CostFlags) => cost(model, flags, contextOf()));
};
