/** A tiny run as a process that tests kill: `node … FOLDER STEPS1 STEPS2`, always resuming. */
import { join } from "node:path";
import { openCheckpoints } from "../../src/train/checkpoint.node.js";
import { trainRun } from "../../src/train/run.js";
import { lockRun } from "../../src/train/run-lock.node.js";
import { openRunLog } from "../../src/train/run-log.node.js";
import { createTinyEngine, tinyRecipe, tinyStages } from "./tiny-run.js";

const [folder, first, second] = process.argv.slice(2);
const log = await openRunLog(folder);
const unlock = await lockRun(folder);
const engine = createTinyEngine();
await trainRun({
  recipe: tinyRecipe([Number(first), Number(second)], 3),
  openStage: tinyStages(engine, 7),
  log,
  checkpoints: await openCheckpoints(join(folder, "checkpoints")),
  resume: true,
  onEvent: ({ event }) => process.stdout.write(`${event}\n`),
});
await log.close();
await engine.close();
await unlock();
