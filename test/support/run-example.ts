import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";

const loader = new URL("../../scripts/typescript.mjs", import.meta.url).href;

/** The examples in `folder` (`*.mjs`, `*.ts`), sorted; undefined when there is no such folder. */
export const findExamples = (folder: string): string[] | undefined =>
  existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => /\.(mjs|ts)$/.test(name) && !name.endsWith(".d.ts"))
        .sort()
        .map((name) => join(folder, name))
    : undefined;

/** Runs one example to its end; rejects with all it wrote when its exit code is not zero. */
export const runExample = (path: string, timeoutMs: number): Promise<string> =>
  new Promise((resolve, reject) => {
    const args = path.endsWith(".ts") ? ["--import", loader, path] : [path];
    execFile(process.execPath, args, { timeout: timeoutMs }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stdout}${stderr}`));
      else resolve(stdout);
    });
  });
