// Chromium for the browser tests: finds it, and installs Debian's package where that is possible.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

const findOnPath = (wanted) => {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of wanted) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {}
    }
  }
  return undefined;
};

/** Path of a Chromium: `SACCADE_CHROMIUM` if set, else the first one on PATH, else undefined. */
export const findChromium = () => process.env.SACCADE_CHROMIUM || findOnPath(names);

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Finds Chromium, or installs it with apt-get (as root, or by sudo where it asks for no password).
 * Returns `{ path }`, or `{ reason }` why there is none. `SACCADE_APT=0` keeps apt-get out.
 */
export const provideChromium = async () => {
  const present = findChromium();
  if (present) return { path: present };
  if (process.env.SACCADE_APT === "0") return { reason: "not found, and SACCADE_APT=0" };
  if (!findOnPath(["apt-get"])) return { reason: "not found, and there is no apt-get here" };
  const isRoot = process.getuid?.() === 0;
  if (!isRoot && spawnSync("sudo", ["-n", "true"]).status !== 0) {
    return { reason: "not found, and installing it needs root: sudo apt-get install chromium" };
  }

  const aptGet = (...args) => {
    const [command, ...rest] = [...(isRoot ? [] : ["sudo", "-n"]), "apt-get", ...args];
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    return spawnSync(command, rest, { encoding: "utf8", env, maxBuffer: 1 << 28 });
  };
  console.error("apt-get install chromium: the browser tests need it");
  let last = { stdout: "", stderr: "" };
  for (const waitMs of [0, 5_000, 20_000]) {
    await sleep(waitMs);
    last = aptGet("update");
    if (last.status !== 0) continue;
    last = aptGet("install", "-y", "--no-install-recommends", "chromium");
    const installed = findChromium();
    if (last.status === 0 && installed) return { path: installed };
  }
  return { reason: `apt-get failed three times:\n${last.stdout}${last.stderr}` };
};
