/** `saccade inspect MODEL`: what a model is and what an image will cost, without loading it. */
import type { Command } from "commander";
import type { CostReport } from "../cost/cost-report.js";
import { stateBytesPerSequence } from "../cost/kv-bytes.js";
import type { Size } from "../image/image.js";
import { countAttentionLayers } from "../language/llama-config.js";
import { type BrokenTensor, findBrokenTensors } from "../load/broken-weights.node.js";
import type { TokenOption } from "../systems/token-choice.js";
import { visionFactsOf } from "../systems/vision-facts.js";
import type { CommandContext } from "./command-context.js";
import { describeModel, type ImageCost, type ModelDescription } from "./model-description.js";
import { showDownloads } from "./open-model.js";
import { addFolderOptions, type FolderFlags, loadOptionsOf, option, parseSize } from "./options.js";
import { formatBytes, formatCount, formatFlops } from "./quantities.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";

type InspectFlags = FolderFlags & {
  readonly image: Size;
  readonly check?: boolean;
  readonly json?: boolean;
};

const toJson = (model: ModelDescription, cost: ImageCost, broken?: readonly BrokenTensor[]) => {
  const { config, language } = model.system;
  return {
    name: model.name,
    path: model.path,
    system: config.system,
    layout: visionFactsOf(config).layout,
    vision:
      config.system === "llava-uhd"
        ? config.vision
        : { ...config.vision, layer: config.visionLayer },
    decoder: language,
    parameters: {
      total: model.parts.reduce((sum, { parameters }) => sum + parameters, 0),
      ...Object.fromEntries(model.parts.map(({ part, parameters }) => [part, parameters])),
    },
    files: model.files,
    weights: model.mismatch
      ? {
          ok: false,
          missing: model.mismatch.missing,
          unexpected: model.mismatch.unexpected,
          wrongShape: model.mismatch.wrongShape,
        }
      : { ok: true },
    contextLength: config.maxLength,
    kvBytesPerToken: model.kvBytesPerToken,
    tokenizer: model.tokenizer && { vocabularySize: model.tokenizer.vocabularySize },
    template: model.template,
    image: cost,
    ...(broken && { check: { ok: broken.length === 0, tensors: broken } }),
  };
};

const factsOf = ({ system, tokenizer, template, kvBytesPerToken }: ModelDescription) => {
  const { config, language } = system;
  const vision = visionFactsOf(config);
  const side = vision.viewSidePx / vision.patchSidePx;
  const heads =
    language.numKeyValueHeads === language.numHeads
      ? `${language.numHeads} heads`
      : `${language.numHeads} heads (${language.numKeyValueHeads} for keys and values)`;
  const numRecurrent = language.numLayers - countAttentionLayers(language);
  const stateBytes = stateBytesPerSequence(language);
  const states = numRecurrent === 0 ? "" : `, and ${formatBytes(stateBytes)} of states`;
  const recurrent = numRecurrent === 0 ? "" : ` (${numRecurrent} with a recurrent state)`;
  return [
    ["system", `${config.system}, ${vision.layout} layout`],
    [
      "vision tower",
      `${vision.viewSidePx} px in patches of ${vision.patchSidePx}: ${side}x${side}; width ${vision.width}, ${vision.numLayers} layers`,
    ],
    ["decoder", `width ${language.width}, ${language.numLayers} layers${recurrent}, ${heads}`],
    [
      "vocabulary",
      `${language.vocabularySize} (tokenizer: ${tokenizer?.vocabularySize ?? "none"})`,
    ],
    ["template", template ?? "none without a tokenizer"],
    [
      "context",
      `${formatCount(config.maxLength)} tokens, ${formatBytes(kvBytesPerToken)} of keys and values each${states}`,
    ],
  ];
};

/** One way to see an image, or one for each granularity of the model. */
const waysToSee = ({ tokenOptions, tokensPerView, tokens }: ImageCost): readonly TokenOption[] =>
  tokenOptions?.all ?? [{ granularity: tokensPerView, tokens }];

const questionText = (
  { flops, bytes, textTokens }: CostReport,
  colors: Terminal["colors"],
): string =>
  formatTable(
    [`with ${textTokens} text tokens`, "encoder", "prompt", "each token", "activations", "peak"],
    [
      [
        "",
        formatFlops(flops.total - flops.prefill),
        formatFlops(flops.prefill),
        formatFlops(flops.perToken),
        formatBytes(bytes.activations),
        formatBytes(bytes.peak),
      ],
    ],
    colors,
  );

const toText = (model: ModelDescription, cost: ImageCost, { colors }: Terminal): string => {
  const facts = factsOf(model);
  const total = model.parts.reduce((sum, { parameters }) => sum + parameters, 0);
  const share = (parameters: number) => `${((100 * parameters) / total).toFixed(1)} %`;
  const parts = [...model.parts, { part: "all", parameters: total }].map(({ part, parameters }) => [
    part,
    formatCount(parameters),
    share(parameters),
  ]);
  const files = model.files.map(({ name, bytes, tensors, dtypes }) => [
    name,
    formatBytes(bytes),
    String(tensors),
    dtypes.join(", "),
  ]);
  const [view] = cost.views;
  const { width, height } = cost.size;
  const visionTokens = cost.views.length * cost.tokensPerView;
  return [
    colors.bold(model.name),
    ...facts.map(([name, value]) => `${colors.dim(name.padEnd(12))}  ${value}`),
    "",
    formatTable(["part", "parameters", "share"], parts, colors),
    "",
    formatTable(["file", "size", "tensors", "types"], files, colors),
    "",
    formatTable(
      [`image ${width}x${height}`, "views", "tokens/view", "vision tokens", "decoder tokens", "KV"],
      waysToSee(cost).map(({ granularity, tokens }, way) => [
        way === 0 ? `as ${view.width}x${view.height}` : "",
        way === 0 ? String(cost.views.length) : "",
        String(granularity),
        way === 0 ? String(visionTokens) : "",
        String(tokens),
        formatBytes(tokens * model.kvBytesPerToken),
      ]),
      colors,
    ),
    ...(cost.report ? ["", questionText(cost.report, colors)] : []),
    "",
  ].join("\n");
};

const checkText = (broken: readonly BrokenTensor[], total: number, { colors }: Terminal): string =>
  broken.length === 0
    ? `${colors.green(`check: ${total} tensors, all values finite`)}\n`
    : `${broken
        .map(({ name, nan, infinite }) => `${name}: ${nan} NaN, ${infinite} infinite`)
        .join("\n")}\n${colors.red(`check: FAILED, ${broken.length} of ${total} tensors`)}\n`;

export const inspect = async (
  name: string,
  { image, check, json, ...flags }: InspectFlags,
  { terminal, signal, fail }: CommandContext,
): Promise<void> => {
  const options = { ...loadOptionsOf(flags), signal, onProgress: showDownloads(terminal) };
  const model = await describeModel(name, options);
  const cost = model.costOf(image);
  const broken = check
    ? await findBrokenTensors(model.tensors, {
        signal,
        onProgress: (done, total) => terminal.progress(`checked ${done} of ${total} tensors`),
      })
    : undefined;
  if (json) await terminal.write(`${JSON.stringify(toJson(model, cost, broken))}\n`);
  else {
    await terminal.write(toText(model, cost, terminal));
    if (broken) await terminal.write(`\n${checkText(broken, model.tensors.size, terminal)}`);
  }
  if (model.mismatch) {
    terminal.notice(`${terminal.noticeColors.red("error:")} ${model.mismatch.message}`);
  }
  if (model.mismatch || (broken?.length ?? 0) > 0) fail();
};

/** Adds `inspect` to the program. */
export const addInspectCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("inspect")
    .summary("architecture, parameters, files, and what an image costs")
    .description(
      "Describes a model from its settings and file headers; no weight is loaded. Exit code 1 when the weights do not fit the architecture, or --check finds NaN or infinity. A hub model is downloaded where it is not in the cache.",
    )
    .argument("<model>", "folder, or hub repository org/name");
  addFolderOptions(command)
    .addOption(
      option("--image <size>", "image to plan for, in pixels")
        .default({ width: 640, height: 480 }, "640x480")
        .argParser(parseSize),
    )
    .addOption(option("--check", "read all weights and look for NaN and infinity"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((model: string, flags: InspectFlags) => inspect(model, flags, contextOf()));
};
