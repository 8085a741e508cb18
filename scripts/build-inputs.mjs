// What dist/ is made from, as one hash: contents decide whether a build is up to date, since the
// times of files change with every checkout.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const stampName = ".inputs";

/** SHA-256 over the compiler settings and every file of src/ and web/, paths included. */
export const hashBuildInputs = () => {
  const sources = ["src", "web"]
    .flatMap((folder) => readdirSync(join(root, folder), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)));
  const settings = ["tsconfig.json", "tsconfig.build.json", "package.json", "package-lock.json"];
  const hash = createHash("sha256");
  for (const path of [...settings, ...sources.sort()]) {
    const bytes = readFileSync(join(root, path));
    hash.update(`${path} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest("hex");
};
