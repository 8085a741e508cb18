// `npm run study:uhd -- [options]`: trains each arm of the study of LLaVA-UHD v4 from one trained baseline, asks it
// questions, prints the tables and writes them into docs/studies/llava-uhd-v4.md. What is done stays in --output and is
// not done again: a run that was stopped goes on, and more arms or seeds add to the tables. Arms that were trained with
// other steps, or asked otherwise, are refused.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { placeResults } from "../src/eval/study-document.js";
import {
  type BaselineSettings,
  estimateArm,
  type StudyArm,
  studyArms,
  studyImagePx,
  studyRecipe,
} from "../src/eval/uhd-study.js";
import { renderStudy, type StudyResult } from "../src/eval/uhd-study-report.js";
import { parseRunLog, stepsOf } from "../src/train/run-log.js";

const { values: flags } = parseArgs({
  options: {
    baseline: { type: "string", default: "models/baselines/llava-uhd-scenes" },
    output: { type: "string", default: "runs/study-uhd" },
    arms: { type: "string", default: "all" },
    steps: { type: "string", default: "300" },
    questions: { type: "string", default: "400" },
    scenes: { type: "string", default: "4000" },
    seeds: { type: "string", default: "1" },
    layer: { type: "string", default: "1" },
    threads: { type: "string", default: "1" },
    document: {
      type: "string",
      default: fileURLToPath(new URL("../docs/studies/llava-uhd-v4.md", import.meta.url)),
    },
  },
});

const fail = (message: string): never => {
  console.error(`study:uhd: ${message}`);
  process.exit(1);
};

const parseCount = (name: string, text: string, least: number): number => {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count >= least) return count;
  return fail(`--${name} must be a whole number of at least ${least}, got "${text}"`);
};

const readJson = (path: string): Record<string, unknown> => JSON.parse(readFileSync(path, "utf8"));

const baseline = resolve(flags.baseline);
if (!existsSync(join(baseline, "config.json")))
  fail(`--baseline must be a trained model's folder, got ${baseline}; see recipes/`);
const settings: BaselineSettings = {
  config: readJson(join(baseline, "config.json")),
  preprocessorConfig: readJson(join(baseline, "preprocessor_config.json")),
};
const steps = parseCount("steps", flags.steps, 1);
const questions = parseCount("questions", flags.questions, 1);
const scenes = parseCount("scenes", flags.scenes, 1);
const layer = parseCount("layer", flags.layer, 0);
const seeds = flags.seeds.split(",").map((text) => parseCount("seeds", text, 0));
const known = studyArms(settings, layer);
const arms =
  flags.arms === "all"
    ? known
    : flags.arms
        .split(",")
        .map(
          (name) =>
            known.find((arm) => arm.name === name) ??
            fail(`no arm "${name}"; there are ${known.map((arm) => arm.name).join(", ")}`),
        );

const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** Runs the built command line; its standard output. */
const saccade = (...args: readonly string[]): string => {
  const { status, stdout } = spawnSync(process.execPath, [program, ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 1 << 28,
  });
  return status === 0 ? stdout : fail(`saccade ${args[0]} ended with ${status}`);
};

/** Writes a file whole or not at all. */
const writeWhole = (path: string, text: string): void => {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
};

const trainArm = (folder: string, arm: StudyArm, seed: number): void => {
  const recipe = `${folder}.yaml`;
  const { text } = studyRecipe(arm, { baseline, steps, seed, scenes });
  const isBegun = existsSync(recipe);
  if (isBegun && readFileSync(recipe, "utf8") !== text)
    fail(`${recipe} was begun with other settings; choose another --output`);
  if (!isBegun) writeWhole(recipe, text);
  if (existsSync(join(folder, "model"))) return;
  const resume = existsSync(join(folder, "log.jsonl")) ? ["--resume"] : [];
  saccade("train", recipe, "--output", folder, "--threads", flags.threads, ...resume);
};

const evaluation = ["--scenes", "test", "--kind", "detail", "--size", String(studyImagePx)];

/** The evaluation of a trained arm, done once. */
const evaluateArm = (folder: string): Pick<StudyResult, "total" | "visionTokens"> => {
  const path = join(folder, `eval-${questions}.json`);
  if (!existsSync(path)) {
    const count = ["--count", String(questions), "--threads", flags.threads];
    writeWhole(path, saccade("eval", join(folder, "model"), ...evaluation, ...count, "--json"));
  }
  return JSON.parse(readFileSync(path, "utf8"));
};

/** Mean loss over the last tenth of the steps. */
const lastLoss = (folder: string): number => {
  const taken = stepsOf(parseRunLog(readFileSync(join(folder, "log.jsonl"), "utf8")));
  const last = taken.slice(-Math.ceil(taken.length / 10));
  return last.reduce((sum, { loss }) => sum + loss, 0) / last.length;
};

mkdirSync(flags.output, { recursive: true });
const results: StudyResult[] = [];
for (const arm of arms) {
  for (const seed of seeds) {
    console.error(`${arm.name}, seed ${seed}`);
    const folder = join(resolve(flags.output), `${arm.name}-seed${seed}`);
    trainArm(folder, arm, seed);
    const { total, visionTokens } = evaluateArm(folder);
    const cost = estimateArm(settings, arm);
    if (visionTokens !== cost.visionTokens)
      fail(`${arm.name} took ${visionTokens} vision tokens, ${cost.visionTokens} were planned`);
    results.push({ arm, seed, total, visionTokens, cost, loss: lastLoss(folder) });
  }
}
const text = renderStudy(results, { steps, questions, layer });
console.log(text);
writeWhole(flags.document, placeResults(readFileSync(flags.document, "utf8"), text));
