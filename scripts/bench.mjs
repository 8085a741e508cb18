// `npm run bench [-- name …]`: makes the clone ready, then runs bench/<name>.bench.ts one after the
// other (all of them without a name), each in its own process so that none warms up another. Their
// tables come as they are ready; the last line is one JSON array with what all of them measured.
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { root } from "./build-inputs.mjs";
import { runScript, SetupError, setUp } from "./setup.mjs";

await runScript(() => {
  const known = readdirSync(join(root, "bench"))
    .filter((name) => name.endsWith(".bench.ts"))
    .map((name) => name.slice(0, -".bench.ts".length));
  const wanted = process.argv.slice(2);
  const unknown = wanted.filter((name) => !known.includes(name));
  if (known.length === 0) throw new SetupError("bench: there is no bench/*.bench.ts to run");
  if (unknown.length > 0) {
    throw new SetupError(`bench: no ${unknown.join(", ")}; there are ${known.join(", ")}`);
  }

  setUp();
  const loader = pathToFileURL(join(root, "scripts/typescript.mjs")).href;
  const reports = [];
  for (const name of wanted.length > 0 ? wanted : known) {
    const path = join(root, "bench", `${name}.bench.ts`);
    const { status, stdout } = spawnSync(process.execPath, ["--import", loader, path], {
      cwd: root,
      encoding: "utf8",
      stdio: ["inherit", "pipe", "inherit"],
    });
    if (status !== 0) throw new SetupError(`bench: ${name} failed (exit code ${status})`);
    const lines = stdout.trimEnd().split("\n");
    reports.push(JSON.parse(lines.pop() ?? ""));
    console.log(lines.join("\n"));
  }
  console.log(JSON.stringify(reports));
});
