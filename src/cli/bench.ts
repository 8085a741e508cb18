/** `saccade bench`: systems side by side, predicted and measured. */
import type { Command } from "commander";
import { OptionsError } from "../errors.js";
import type { Size } from "../image/image.js";
import { presetNames } from "../load/preset-model.js";
import { partTitles, renderBenchPage } from "../measure/bench-page.js";
import { type BenchReport, measuredParts, type Spread } from "../measure/bench-report.js";
import { type MeasuredCandidate, measureSystems } from "../measure/measure-systems.node.js";
import { milliseconds, plain, prefixed, times } from "../measure/quantity-text.js";
import { writeFileAtomically, writeFully } from "../weights/atomic-file.node.js";
import type { CommandContext } from "./command-context.js";
import {
  addEngineOptions,
  addFolderOptions,
  collect,
  type EngineFlags,
  type FolderFlags,
  loadOptionsOf,
  option,
  parseCount,
  parseNumber,
  parseSize,
} from "./options.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";

type BenchFlags = FolderFlags &
  EngineFlags & {
    readonly preset?: readonly string[];
    readonly image: Size;
    readonly frames?: number;
    readonly textTokens: number;
    readonly newTokens: number;
    readonly rounds: number;
    readonly granularity?: number;
    readonly router?: boolean;
    readonly patience: number;
    readonly output?: string;
    readonly json?: boolean;
  };

const jsonSchema = `
--json prints one object; times are milliseconds, memory is bytes, a spread is { median, min, max } over rounds:
  request        { image: { width, height }, frames, textTokens, newTokens, granularity }
  machine        { processor, processors, threads, provider, node, onnxruntime, date }
  rounds, shareOfOthers (of the processors, that other processes had at most)
  systems[]      name, system, weights ("stored", "random", "random, layers of the language model alike"),
                 views[] { width, height, patches }, visionTokens, textTokens, routed
    runs[]       { firstTokenMs, parts, decodeMs }: every round; its parts add up to firstTokenMs
    typicalRun   index of the round of median time
    firstToken   { ms: spread, flops, flopsPerSecond }: predicted operations, and these over the median time
    parts        the same for processing, vision, projector, compression, fusion, router, prefill, between
    decoding     { tokensPerSecond: spread, flopsPerToken, bytesPerToken, bytesPerSecond } or null
    perImage     { tokens, kvBytes, ms, flops } of one image or frame: the encoder, and its share of the prompt
    bytes        { weights, kvCache: { predicted, allocated }, besidesWeights: { predicted, measured } }
  ratios[]       { name, against, firstToken: spread, flops, decoding: spread or null }: times better than the first
`;

const spreadText = ({ median, min, max }: Spread, format: (value: number) => string): string =>
  min === max ? format(median) : `${format(median)} (${format(min)} to ${format(max)})`;

const reportText = (
  { systems, ratios, shareOfOthers }: BenchReport,
  { colors }: Terminal,
): string => {
  const blocks = systems.map((system) => {
    const rows = [
      ...measuredParts
        .map((part) => [partTitles[part], system.parts[part]] as const)
        .filter(([, { ms }]) => ms.max > 0),
      ["all, to the first token", system.firstToken] as const,
    ].map(([title, { ms, flops, flopsPerSecond }]) => [
      title,
      milliseconds(ms.median),
      milliseconds(ms.min),
      milliseconds(ms.max),
      flops > 0 ? prefixed(flops, "FLOP") : "-",
      flopsPerSecond === null ? "-" : prefixed(flopsPerSecond, "FLOP/s"),
    ]);
    const { decoding, bytes, perImage, visionTokens, textTokens, routed } = system;
    const { kvCache, besidesWeights } = bytes;
    return [
      colors.bold(system.name),
      `${visionTokens} vision and ${textTokens} text tokens${routed === null ? "" : `, the router chose ${routed} a view`}; weights ${system.weights}`,
      formatTable(["part", "median", "least", "most", "predicted", "rate"], rows, colors),
      decoding === null
        ? ""
        : `decoding: ${spreadText(decoding.tokensPerSecond, plain)} tokens/s, ${prefixed(decoding.bytesPerToken, "B")} a token: ${prefixed(decoding.bytesPerSecond, "B/s")}`,
      `keys and values: ${prefixed(kvCache.predicted, "B")} predicted, ${prefixed(kvCache.allocated, "B")} allocated`,
      `peak besides weights: ${prefixed(besidesWeights.predicted, "B")} predicted, ${besidesWeights.measured === null ? "not measured here" : `${prefixed(besidesWeights.measured, "B")} measured`}`,
      `each image: ${plain(perImage.tokens)} tokens, ${milliseconds(perImage.ms)}, ${prefixed(perImage.flops, "FLOP")}, ${prefixed(perImage.kvBytes, "B")} of keys and values`,
      "",
    ]
      .filter((line, index, all) => line !== "" || index === all.length - 1)
      .join("\n");
  });
  const compared = ratios.map(({ name, against, firstToken, flops, decoding }) => [
    name,
    against,
    spreadText(firstToken, times),
    times(flops),
    decoding === null ? "-" : spreadText(decoding, times),
  ]);
  const header = ["times faster", "against", "to the first token", "fewer FLOPs", "decoding"];
  return [
    ...blocks,
    ...(compared.length > 0 ? [`${formatTable(header, compared, colors)}\n`] : []),
    ...(shareOfOthers > 0.04
      ? [
          colors.yellow(
            `other processes had up to ${plain(100 * shareOfOthers)} % of the processors: these figures do not count\n`,
          ),
        ]
      : []),
  ].join("\n");
};

const candidatesOf = (
  models: readonly string[],
  { preset = [], ...flags }: BenchFlags,
): MeasuredCandidate[] => {
  const { offline, revision, cacheDir, variant, avgLlava } = loadOptionsOf(flags);
  const kinds = { ...(variant && { variant }), ...(avgLlava && { avgLlava }) };
  const places = {
    ...(offline !== undefined && { offline }),
    ...(revision !== undefined && { revision }),
    ...(cacheDir !== undefined && { cacheDir }),
  };
  return [
    ...models.map((model) => ({ name: model, model, options: { ...places, ...kinds } })),
    ...preset.map((name) => ({ name, preset: name, options: kinds })),
  ];
};

export const bench = async (
  models: readonly string[],
  flags: BenchFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const candidates = candidatesOf(models, flags);
  if (candidates.length === 0) {
    throw new OptionsError(
      `bench: give a model or --preset, got neither; presets are ${presetNames.join(", ")}`,
    );
  }
  const { image, frames, textTokens, newTokens, granularity, router } = flags;
  const report = await measureSystems(
    candidates,
    {
      image,
      textTokens,
      newTokens,
      ...(frames !== undefined && { numFrames: frames }),
      ...(granularity !== undefined && { granularity, runsRouter: router !== false }),
    },
    {
      rounds: flags.rounds,
      patienceMs: 1000 * flags.patience,
      ...(flags.provider !== undefined && { provider: flags.provider }),
      ...(flags.threads !== undefined && { threads: flags.threads }),
      signal,
      onProgress: (text) => terminal.notice(text),
    },
  );
  await terminal.write(flags.json ? `${JSON.stringify(report)}\n` : reportText(report, terminal));
  if (flags.output !== undefined) {
    const page = new TextEncoder().encode(renderBenchPage(report));
    await writeFileAtomically(flags.output, (file) => writeFully(file, page));
    terminal.notice(`report: ${flags.output}`);
  }
};

/** Adds `bench` to the program. */
export const addBenchCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("bench")
    .summary("time to the first token by part, decoding and memory, beside what is predicted")
    .description(
      "Measures systems side by side: each in a process of its own, taking turns. Models have their own weights; presets random ones, where larger than 4 GB with the bytes of one layer in all layers of the language model. Pixels and words are random.",
    )
    .argument("[models...]", "folders, or hub repositories org/name");
  addEngineOptions(addFolderOptions(command))
    .addOption(
      option("--preset <name>", "a published size, or one of `init`; may be repeated").argParser(
        collect,
      ),
    )
    .addOption(
      option("--image <size>", "size of the image or the frames, in pixels")
        .default({ width: 336, height: 336 }, "336x336")
        .argParser(parseSize),
    )
    .addOption(option("--frames <n>", "a video of so many frames").argParser(parseCount))
    .addOption(
      option("--text-tokens <n>", "tokens of the prompt besides the image's")
        .default(43)
        .argParser(parseCount),
    )
    .addOption(option("--new-tokens <n>", "tokens of the answer").default(8).argParser(parseCount))
    .addOption(
      option("--rounds <n>", "rounds that count, after one that does not")
        .default(3)
        .argParser(parseCount),
    )
    .addOption(
      option(
        "--granularity <n>",
        "AVG-LLaVA: tokens of a view that the router is made to choose",
      ).argParser(parseCount),
    )
    .addOption(option("--no-router", "AVG-LLaVA: --granularity is asked for, no router runs"))
    .addOption(
      option("--patience <seconds>", "how long to wait for other processes to be quiet, in all")
        .default(0)
        .argParser(parseNumber),
    )
    .addOption(option("--output <file>", "write a page with tables and charts (HTML)"))
    .addOption(option("--json", "one JSON object on standard output, described below"))
    .addHelpText("after", jsonSchema)
    .action((models: string[], flags: BenchFlags) => bench(models, flags, contextOf()));
};
