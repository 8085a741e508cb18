// Compiles src/ to dist/, and web/ to dist/page/. The new build takes the old one's place only when it
// is complete, so a failed build leaves what was there, and nothing of a deleted source stays behind.
import { spawnSync } from "node:child_process";
import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hashBuildInputs, root, stampName } from "./build-inputs.mjs";

const dist = join(root, "dist");
const fresh = join(root, `dist.${process.pid}`);
const old = join(root, `dist.old-${process.pid}`);

const inputs = hashBuildInputs();
const compiler = join(root, "node_modules/typescript/bin/tsc");
const bundler = join(root, "node_modules/vite/bin/vite.js");
const run = (program, args) => {
  const env = { ...process.env, SACCADE_DIST: fresh };
  const { status } = spawnSync(process.execPath, [program, ...args], {
    cwd: root,
    stdio: "inherit",
    env,
  });
  return status ?? 1;
};
const status =
  run(compiler, ["-p", "tsconfig.build.json", "--outDir", fresh]) ||
  run(bundler, ["build", "--config", "web/vite.config.ts", "--logLevel", "warn"]);
if (status === 0) {
  writeFileSync(join(fresh, stampName), inputs);
  if (existsSync(dist)) renameSync(dist, old);
  renameSync(fresh, dist);
}
rmSync(fresh, { recursive: true, force: true });
rmSync(old, { recursive: true, force: true });
process.exitCode = status;
