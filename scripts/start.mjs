// `npm start [-- arguments]`: makes the clone ready, then is `saccade demo --serve` with the arguments: the
// embedded models answer questions, then they are served with a page. The command runs in this very process, so that
// signals and the exit code are its own.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./build-inputs.mjs";
import { runScript, setUp } from "./setup.mjs";

await runScript(setUp);
if (!process.exitCode) {
  const main = join(root, "dist/cli/main.js");
  process.argv.splice(1, 1, main, "demo", "--serve");
  await import(pathToFileURL(main).href);
}
