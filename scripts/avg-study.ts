// `npm run study:avg -- --model FOLDER [--router NAME=FOLDER ...]`: asks a trained AVG-LLaVA the same questions with its
// router and at each granularity, and models with other routers with theirs; prints the table and writes it with a figure
// into docs/studies. Every evaluation stays in --output and is not done again.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import {
  choicesByFamily,
  renderAvgStudy,
  renderFineness,
  type StudyRun,
} from "../src/eval/avg-study.js";
import { choiceChart } from "../src/eval/choice-chart.js";
import { placeResults } from "../src/eval/study-document.js";

const { values: flags } = parseArgs({
  options: {
    model: { type: "string", default: "models/avg-llava-scenes" },
    router: { type: "string", multiple: true, default: [] },
    questions: { type: "string", default: "2000" },
    output: { type: "string", default: "runs/study-avg" },
    threads: { type: "string", default: "1" },
    studies: {
      type: "string",
      default: fileURLToPath(new URL("../docs/studies", import.meta.url)),
    },
  },
});

const fail = (message: string): never => {
  console.error(`study:avg: ${message}`);
  process.exit(1);
};

const count = Number(flags.questions);
if (!Number.isSafeInteger(count) || count < 1)
  fail(`--questions must be a whole number of at least 1, got "${flags.questions}"`);

const program = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
mkdirSync(flags.output, { recursive: true });

/** The answers of a model to the questions, asked once. */
const evaluate = (name: string, model: string, ...more: readonly string[]): StudyRun => {
  const path = join(resolve(flags.output), `${name.replaceAll(/[^\w.-]+/g, "-")}-${count}.jsonl`);
  if (!existsSync(path)) {
    console.error(name);
    const temporary = `${path}.tmp`;
    rmSync(temporary, { force: true });
    const options = ["--scenes", "test", "--count", String(count), "--threads", flags.threads];
    const { status } = spawnSync(
      process.execPath,
      [program, "eval", model, ...options, "--offline", "--output", temporary, ...more],
      { stdio: ["ignore", "ignore", "inherit"] },
    );
    if (status !== 0) fail(`saccade eval ${model} ended with ${status}`);
    renameSync(temporary, path);
  }
  const lines = readFileSync(path, "utf8").trim().split("\n");
  return { name, outcomes: lines.map((line) => JSON.parse(line)) };
};

const config = JSON.parse(readFileSync(join(flags.model, "config.json"), "utf8"));
if (!Array.isArray(config.vis_token_granularity))
  fail(`--model must be an AVG-LLaVA with vis_token_granularity, got ${flags.model}`);
const granularities: number[] = config.vis_token_granularity;

const fixed = granularities.map((granularity) =>
  evaluate(`always ${granularity}`, flags.model, "--granularity", String(granularity)),
);
const others = flags.router.map((text) => {
  const at = text.indexOf("=");
  if (at < 1) fail(`--router must be NAME=FOLDER, got "${text}"`);
  return evaluate(text.slice(0, at), text.slice(at + 1));
});
const routed = evaluate("the router", flags.model);
const table = renderAvgStudy(fixed, [routed, ...others]);
console.log(table);
const write = (path: string, text: string): void => {
  writeFileSync(`${path}.tmp`, text);
  renameSync(`${path}.tmp`, path);
};
// Scenes to read have questions of other finenesses, too: those are not asked twice.
const read = evaluate("the router, scenes to read", flags.model, "--kind", "detail");
const outcomes = [
  ...routed.outcomes,
  ...read.outcomes.filter(({ fineness }) => fineness === "fine"),
];
const asked = { name: routed.name, outcomes };
const title = "What the router chose, by family of questions";
const figure = "avg-llava-choices.svg";
write(join(flags.studies, figure), choiceChart(choicesByFamily(asked), title));
const page = join(flags.studies, "avg-llava.md");
const results = `${table}\n\n${renderFineness(asked)}\n\n![${title}](${figure})`;
write(page, placeResults(readFileSync(page, "utf8"), results));
