// `npm test [-- vitest arguments]`: everything a fresh clone needs, then every check. All checks run
// even when one fails; a summary of one line each comes last.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { root } from "./build-inputs.mjs";
import { provideChromium } from "./chromium.mjs";
import { runScript, setUp } from "./setup.mjs";

const checks = [
  ["types", "typescript/bin/tsc", ["--noEmit"]],
  ["format and lint", "@biomejs/biome/bin/biome", ["check", "--error-on-warnings", "."]],
  [
    "import directions",
    "dependency-cruiser/bin/dependency-cruise.mjs",
    ["--config", ".dependency-cruiser.cjs", "src"],
  ],
  ["tests", "vitest/vitest.mjs", ["run", ...process.argv.slice(2)]],
];

await runScript(async () => {
  setUp();
  const chromium = await provideChromium();
  const env = { ...process.env };
  if (chromium.path) env.SACCADE_CHROMIUM = chromium.path;
  else console.error(`Browser tests will be skipped: no Chromium (${chromium.reason}).`);

  const lines = [];
  for (const [name, program, args] of checks) {
    const startMs = performance.now();
    const path = join(root, "node_modules", program);
    const { status } = spawnSync(process.execPath, [path, ...args], {
      cwd: root,
      stdio: "inherit",
      env,
    });
    const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
    lines.push(`${status === 0 ? "passed" : "FAILED"}  ${name} (${seconds} s)`);
    if (status !== 0) process.exitCode = 1;
  }
  if (!chromium.path) lines.push("skipped browser tests: no Chromium");
  console.log(`\n${lines.join("\n")}`);
});
