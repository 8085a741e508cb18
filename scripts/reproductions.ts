// `npm run reproductions`: writes docs/reproductions.md.
import { mkdirSync, writeFileSync } from "node:fs";
import { renderReproductions } from "../src/eval/reproductions.js";

const folder = new URL("../docs/", import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(new URL("reproductions.md", folder), renderReproductions());
