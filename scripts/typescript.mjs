// Lets Node run TypeScript files as they lie: `node --import ./scripts/typescript.mjs file.ts`.
// Benchmarks and examples are started with it; types are erased, not checked.
import { register } from "node:module";

register("./typescript-hooks.mjs", import.meta.url);
