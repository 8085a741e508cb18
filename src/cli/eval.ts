/** `saccade eval MODEL --scenes test`: how many questions a model answers right, and what that takes. */
import { type FileHandle, open } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import { families, type SceneKind, type Split, sceneKinds, splits } from "../data/scenes/index.js";
import { evaluateScenes, type SceneEvaluation } from "../eval/evaluate-scenes.node.js";
import type { Proportion } from "../eval/proportion.js";
import type { CommandContext } from "./command-context.js";
import { openModel } from "./open-model.js";
import {
  addModelOptions,
  addTokenChoiceOptions,
  loadOptionsOf,
  type ModelFlags,
  option,
  parseCount,
  parseInteger,
  type TokenChoiceFlags,
  tokenChoiceOf,
} from "./options.js";
import { formatTable } from "./table.js";

type EvalFlags = ModelFlags &
  TokenChoiceFlags & {
    readonly scenes: Split;
    readonly count?: number;
    readonly seed?: number;
    readonly kind?: readonly SceneKind[];
    readonly family?: readonly string[];
    readonly size?: number;
    readonly output?: string;
    readonly json?: boolean;
  };

const defaultCount = 2000;

const percent = (share: number): string => (100 * share).toFixed(1);
const cells = ({ right, count, share, low, high }: Proportion): string[] => [
  `${right}/${count}`,
  percent(share),
  `${percent(low)} to ${percent(high)}`,
];

/** How often each granularity was chosen, by family; absent for models that choose none. */
const choiceTable = (
  { byFamily }: SceneEvaluation,
  colors: CommandContext["terminal"]["colors"],
): string[] => {
  const families = Object.entries(byFamily).flatMap(([name, { fineness, granularities }]) =>
    granularities === undefined ? [] : [{ name, fineness, granularities }],
  );
  const offered = [
    ...new Set(families.flatMap(({ granularities }) => Object.keys(granularities))),
  ].sort((a, b) => Number(a) - Number(b));
  if (offered.length === 0) return [];
  const rows = families.map(({ name, fineness, granularities }) => [
    name,
    fineness,
    ...offered.map((granularity) => String(granularities[granularity] ?? 0)),
  ]);
  return [formatTable(["granularity chosen", "", ...offered], rows, colors), ""];
};

const report = (evaluation: SceneEvaluation, { terminal }: CommandContext): string => {
  const { colors } = terminal;
  const { byFamily, byFineness, total } = evaluation;
  const order = Object.keys(byFineness).sort();
  const rows = order.flatMap((fineness) => [
    ...Object.entries(byFamily)
      .filter(([, family]) => family.fineness === fineness)
      .map(([name, family]) => [name, fineness, ...cells(family)]),
    [colors.bold(`all ${fineness}`), "", ...cells(byFineness[fineness])],
  ]);
  rows.push([colors.bold("all"), "", ...cells(total)]);
  const { visionTokens, promptTokens, firstTokenMs, totalMs } = evaluation;
  return [
    formatTable(["family", "fineness", "right", "%", "95 % interval"], rows, colors),
    "",
    ...choiceTable(evaluation, colors),
    `A question takes ${visionTokens.toFixed(1)} vision tokens of ${promptTokens.toFixed(1)} in all, ${firstTokenMs.toFixed(1)} ms to the first token, ${totalMs.toFixed(1)} ms in all (means).`,
    "",
  ].join("\n");
};

export const evaluate = async (
  name: string,
  flags: EvalFlags,
  context: CommandContext,
): Promise<void> => {
  const { terminal, signal } = context;
  const { scenes: split, count = defaultCount, seed = 0, kind: kinds, family } = flags;
  const model = await openModel(name, loadOptionsOf(flags), terminal, signal);
  let file: FileHandle | undefined;
  try {
    // Nothing that is there is written over.
    file = flags.output === undefined ? undefined : await open(flags.output, "wx");
    let right = 0;
    const evaluation = await evaluateScenes(model, {
      count,
      split,
      seed,
      kinds,
      families: family,
      heightPx: flags.size,
      generate: tokenChoiceOf(flags),
      signal,
      onOutcome: async (outcome, done) => {
        right += Number(outcome.isRight);
        terminal.progress(`${done} of ${count} questions, ${percent(right / done)} % right`);
        await file?.appendFile(`${JSON.stringify(outcome)}\n`);
      },
    });
    await terminal.write(
      flags.json
        ? `${JSON.stringify({ model: model.name, split, seed, count, ...evaluation })}\n`
        : report(evaluation, context),
    );
  } finally {
    await file?.close();
    await model.close();
  }
};

const parseNames =
  <Name extends string>(what: string, allowed: readonly Name[]) =>
  (text: string): Name[] =>
    text.split(",").map((item) => {
      const found = allowed.find((name) => name === item.trim());
      if (found === undefined)
        throw new InvalidArgumentError(`Give ${what} out of ${allowed.join(", ")}.`);
      return found;
    });

/** Adds `eval` to the program. */
export const addEvalCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("eval")
    .summary("how many questions a model answers right, and what that takes")
    .description(
      "Asks a model questions about generated scenes that no training saw: one a scene, families in turns, the same ones for every model. Prints the share of right answers per family and fineness with 95 % intervals (Wilson), tokens and times.",
    )
    .argument("<model>", "folder or Hugging Face repository")
    .addOption(option("--scenes <split>", "which scenes").choices(splits).makeOptionMandatory())
    .addOption(
      option("--count <n>", `number of questions (default: ${defaultCount})`).argParser(parseCount),
    )
    .addOption(option("--seed <n>", "of the scenes (default: 0)").argParser(parseInteger))
    .addOption(
      option("--kind <list>", "kinds of scenes, by commas (default: simple)").argParser(
        parseNames("kinds", sceneKinds),
      ),
    )
    .addOption(
      option("--family <list>", "only these families of questions, by commas").argParser(
        parseNames(
          "families",
          families.map(({ family }) => family),
        ),
      ),
    )
    .addOption(
      option("--size <pixels>", "height of the images (default: what the model reads)").argParser(
        parseCount,
      ),
    )
    .addOption(option("--output <file>", "a new file for every question and answer, JSON lines"))
    .addOption(option("--json", "one JSON object on standard output"));
  addModelOptions(addTokenChoiceOptions(command)).action((model: string, flags: EvalFlags) =>
    evaluate(model, flags, contextOf()),
  );
};
