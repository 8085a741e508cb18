/** Builds the page into the package: `scripts/build.mjs` says where the compiled library lies. */
import { fileURLToPath } from "node:url";
import { defaultClientConditions, defineConfig } from "vite";

const library = process.env.SACCADE_DIST ?? fileURLToPath(new URL("../dist", import.meta.url));

export default defineConfig({
  root: fileURLToPath(new URL(".", import.meta.url)),
  base: "./",
  resolve: {
    alias: { "saccade/web": `${library}/web.js` },
    // ONNX Runtime's own files are not bundled: the server sends them from its package.
    conditions: ["onnxruntime-web-use-extern-wasm", ...defaultClientConditions],
  },
  worker: { format: "es" },
  build: {
    outDir: `${library}/page`,
    emptyOutDir: true,
    target: "es2022",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
});
