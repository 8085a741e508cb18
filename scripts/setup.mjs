// Makes a clone ready to run: checks Node, installs dependencies, builds. Does only what is needed
// and says so; says nothing when everything is up to date. Plain Node: it runs before any install.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { hashBuildInputs, root, stampName } from "./build-inputs.mjs";

const lowestNode = [20, 19];

/** Thrown with a message for people; the scripts print it without a stack and exit with 1. */
export class SetupError extends Error {}

const readJson = (path) => JSON.parse(readFileSync(join(root, path), "utf8"));

const checkNode = () => {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > lowestNode[0] || (major === lowestNode[0] && minor >= lowestNode[1])) return;
  throw new SetupError(
    `saccade needs Node ${lowestNode.join(".")} or newer, this is ${process.versions.node}. ` +
      "Install a newer one from https://nodejs.org and run the command again.",
  );
};

/** Why the installed packages are not those of package-lock.json; undefined when they are. */
const findInstallReason = () => {
  if (!existsSync(join(root, "node_modules/.package-lock.json"))) return "node_modules is missing";
  const installed = readJson("node_modules/.package-lock.json").packages ?? {};
  for (const [path, wanted] of Object.entries(readJson("package-lock.json").packages)) {
    if (!path.includes("node_modules/") || wanted.link) continue;
    const found = installed[path];
    // npm leaves out optional packages that do not fit this system.
    if (!found && (wanted.optional || wanted.devOptional || wanted.peer)) continue;
    if (!found) return `${path} is missing`;
    if (found.version !== wanted.version || found.integrity !== wanted.integrity) {
      return `${path} is ${found.version}, package-lock.json has ${wanted.version}`;
    }
  }
  return undefined;
};

const isBuilt = () => {
  const stamp = join(root, "dist", stampName);
  return existsSync(stamp) && readFileSync(stamp, "utf8") === hashBuildInputs();
};

/** Runs npm; its output is shown only when it fails, then as a whole. */
const npm = (args, reason) => {
  console.error(`npm ${args.join(" ")}: ${reason}`);
  const { status, stdout, stderr, error } = spawnSync("npm", args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 1 << 28,
    shell: process.platform === "win32",
  });
  if (status === 0) return;
  throw new SetupError(
    [`npm ${args.join(" ")} failed:`, stdout, stderr, error?.message].filter(Boolean).join("\n"),
  );
};

/**
 * Installs what package-lock.json pins. `npm ci` would be the natural command, but it refuses a lock
 * file without the optional packages of every other system, and not every registry mirror has those.
 */
const install = (reason) => {
  npm(["install", "--no-save", "--include=dev", "--no-audit", "--no-fund"], reason);
  const difference = findInstallReason();
  if (!difference) return;
  throw new SetupError(
    `npm install did not install what package-lock.json pins: ${difference}. ` +
      "Update the lock file with `npm install`, or delete node_modules and run the command again.",
  );
};

/** Node checked, packages installed, dist/ built from the sources as they are. */
export const setUp = () => {
  checkNode();
  const reason = findInstallReason();
  if (reason) install(reason);
  if (!isBuilt()) npm(["run", "build"], "dist is missing or not built from these sources");
};

/** Runs `main`; a SetupError ends the process with its message, anything else with its stack. */
export const runScript = async (main) => {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof SetupError ? error.message : error);
    process.exitCode = 1;
  }
};

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await runScript(setUp);
