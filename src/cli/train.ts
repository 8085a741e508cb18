/** `saccade train RECIPE`: stages of training as a file says, with checkpoints to go on from. */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Command } from "commander";
import { measureMatrixRate } from "../cost/matrix-rate.js";
import { OptionsError, RecipeError } from "../errors.js";
import { createNodeEngine } from "../graph/engine.node.js";
import { openCheckpoints } from "../train/checkpoint.node.js";
import { createProgressLines, formatDuration } from "../train/progress-line.js";
import { parseRecipe, type Recipe } from "../train/recipe.js";
import { type RunResult, trainRun } from "../train/run.js";
import { lockRun } from "../train/run-lock.node.js";
import type { RunEvent } from "../train/run-log.js";
import { logFile, openRunLog } from "../train/run-log.node.js";
import { planStage, type StagePlan } from "../train/stage-plan.js";
import {
  openVisionLanguageStages,
  type VisionLanguageStages,
} from "../train/vision-language-stages.node.js";
import type { CommandContext } from "./command-context.js";
import { addEngineOptions, type EngineFlags, option } from "./options.js";
import { formatBytes, formatCount } from "./quantities.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";

type TrainFlags = EngineFlags & {
  readonly output?: string;
  readonly resume?: boolean;
  readonly dryRun?: boolean;
  readonly offline?: boolean;
  readonly cacheDir?: string;
  readonly json?: boolean;
};

/** Lines between which a log that is no terminal stays silent, in milliseconds. */
const quietMs = 10_000;

const readRecipe = async (path: string): Promise<{ text: string; recipe: Recipe }> => {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RecipeError(`train: the recipe must be a readable file, got ${reason}`, { cause });
  }
  return { text, recipe: parseRecipe(text, path) };
};

const planText = (plan: StagePlan, { colors }: Terminal): string => {
  const groups = plan.groups.map((group) => [
    group.name,
    formatCount(group.tensors),
    formatCount(group.parameters),
    String(group.learningRate),
    String(group.weightDecay),
  ]);
  const { memory } = plan;
  const facts: readonly (readonly [string, string])[] = [
    ["steps", formatCount(plan.steps)],
    ["step", `${plan.samplesPerStep} samples, at most ${formatCount(plan.tokensPerStep)} tokens`],
    [
      "memory",
      `${formatBytes(memory.totalBytes)}: ${formatBytes(memory.stateBytes)} parameters and moments, ${formatBytes(memory.frozenBytes)} frozen weights, ${formatBytes(memory.activationBytes)} while a step runs`,
    ],
    [
      "time",
      `at most ${plan.secondsPerStep.toPrecision(2)} s a step, ${formatDuration(plan.seconds)} in all (estimate)`,
    ],
  ];
  return [
    colors.bold(`${plan.name}: ${formatCount(plan.parameters)} parameters`),
    formatTable(["group", "tensors", "parameters", "rate", "weight decay"], groups, colors),
    ...facts.map(([name, value]) => `${colors.dim(name.padEnd(8))}${value}`),
    "",
  ].join("\n");
};

const dryRun = async (
  recipe: Recipe,
  stages: VisionLanguageStages,
  { json, provider, threads }: TrainFlags,
  { terminal }: CommandContext,
): Promise<void> => {
  const engine = createNodeEngine({ ...(provider && { provider }), ...(threads && { threads }) });
  try {
    const rate = await measureMatrixRate(engine);
    const plans: StagePlan[] = [];
    for (const stage of recipe.stages) {
      terminal.progress(`measuring the data of ${stage.name}`);
      plans.push(planStage(stage, await stages.describe(stage), rate));
    }
    await terminal.write(
      json
        ? `${JSON.stringify({ recipe: recipe.name, flopsPerSecond: rate, stages: plans })}\n`
        : plans.map((plan) => planText(plan, terminal)).join("\n"),
    );
  } finally {
    await engine.close();
  }
};

/** Shows events: a bar that moves on a terminal, else a line now and then. */
const createReporter = ({ notice, progress }: Terminal): ((event: RunEvent) => void) => {
  const lineOf = createProgressLines();
  const isTerminal = process.stderr.isTTY === true;
  let shownMs = Number.NEGATIVE_INFINITY;
  return (event) => {
    const line = lineOf(event);
    if (line === undefined) return;
    if (event.event !== "step") return notice(line);
    if (isTerminal) return progress(line);
    const isDue = performance.now() - shownMs > quietMs || event.stageStep === event.stageSteps;
    if (!isDue) return;
    shownMs = performance.now();
    notice(line);
  };
};

/** A run is begun in a folder without one, and resumed in one that has one. */
const checkFolder = async (folder: string, resume: boolean): Promise<void> => {
  const log = await readFile(join(folder, logFile)).catch(() => undefined);
  if (log !== undefined && !resume) {
    throw new OptionsError(
      `train: a new run needs a folder without one, got ${folder}; pass --resume to go on with it, or another --output`,
    );
  }
};

const cardOf = (recipe: Recipe, text: string, step: number): string => `# ${recipe.name}

Trained from \`${recipe.model.from}\` in ${step} steps by \`saccade train\`, with this recipe:

\`\`\`yaml
${text.trim()}
\`\`\`
`;

const runInFolder = async (
  folder: string,
  { text, recipe }: { readonly text: string; readonly recipe: Recipe },
  stages: VisionLanguageStages,
  { resume, provider, threads }: TrainFlags,
  { terminal, signal }: CommandContext,
): Promise<RunResult> => {
  await mkdir(folder, { recursive: true });
  const unlock = await lockRun(folder);
  try {
    await checkFolder(folder, resume === true);
    await writeFile(join(folder, "recipe.yaml"), text);
    const log = await openRunLog(folder);
    const engine = createNodeEngine({ ...(provider && { provider }), ...(threads && { threads }) });
    try {
      const result = await trainRun({
        recipe,
        openStage: stages.openStage(engine),
        log,
        checkpoints: await openCheckpoints(join(folder, "checkpoints")),
        resume: resume === true,
        signal,
        onEvent: createReporter(terminal),
        onNotice: terminal.notice,
      });
      if (result.isFinished) {
        const model = join(folder, "model");
        // Of an earlier end of the same run.
        await rm(model, { recursive: true, force: true });
        await stages.model.save(model, result.parameters, cardOf(recipe, text, result.step));
      }
      return result;
    } finally {
      await engine.close();
      await log.close();
    }
  } finally {
    await unlock();
  }
};

export const train = async (
  path: string,
  flags: TrainFlags,
  context: CommandContext,
): Promise<void> => {
  const { terminal, signal } = context;
  const read = await readRecipe(path);
  const { recipe } = read;
  // Stages that share data meet the same bad records.
  const reported = new Set<string>();
  const stages = await openVisionLanguageStages({
    recipe,
    baseFolder: dirname(resolve(path)),
    signal,
    onBadRecord: (message) => {
      if (!reported.has(message)) terminal.notice(`left out: ${message}`);
      reported.add(message);
    },
    ...(flags.offline && { offline: true }),
    ...(flags.cacheDir !== undefined && { cacheDir: flags.cacheDir }),
  });
  if (flags.dryRun) return dryRun(recipe, stages, flags, context);
  const folder = resolve(flags.output ?? join("runs", recipe.name));
  const { isFinished, step } = await runInFolder(folder, read, stages, flags, context);
  if (!isFinished) {
    terminal.notice(`go on with: saccade train ${path} --output ${folder} --resume`);
    throw signal.reason;
  }
  await terminal.write(
    flags.json
      ? `${JSON.stringify({ recipe: recipe.name, steps: step, model: join(folder, "model") })}\n`
      : `${join(folder, "model")}: trained in ${formatCount(step)} steps\n`,
  );
};

/** Adds `train` to the program. */
export const addTrainCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("train")
    .summary("train a model as a recipe says")
    .description(
      "Runs the stages of a recipe (YAML). The folder gets log.jsonl, TensorBoard files, checkpoints and, in the end, the model in the published layout. Ctrl-C saves a checkpoint; a run that was stopped or killed at any moment goes on with --resume as if it had not been.",
    )
    .argument("<recipe>", "YAML file; its paths are relative to it");
  addEngineOptions(command)
    .addOption(option("--output <folder>", "the run's folder (default: runs/NAME of the recipe)"))
    .addOption(option("--resume", "go on from the newest complete checkpoint"))
    .addOption(option("--dry-run", "parameters, tokens, memory and time; nothing is trained"))
    .addOption(option("--offline", "never connect; the model is a folder or in the cache"))
    .addOption(option("--cache-dir <folder>", "the Hugging Face cache (default: its own place)"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((path: string, flags: TrainFlags) => train(path, flags, contextOf()));
};
