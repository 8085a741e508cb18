/** The web page's files, and those of ONNX Runtime that it computes with. */
import { readdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { describeFile, holdFile, type SentFile } from "./file-response.js";

/** The built page; the same from `src/` and from `dist/`. */
const pageFolder = fileURLToPath(new URL("../../../dist/page/", import.meta.url));

/**
 * Nothing from anywhere else, no inline script or style. WebAssembly is what ONNX Runtime is made of;
 * pictures and videos that a person chooses are blobs and data.
 */
const contentPolicy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "media-src blob: data:",
  "connect-src 'self' blob: data:",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const pageHeaders = {
  "content-security-policy": contentPolicy,
  // Together these isolate the page, so that WebAssembly may use threads.
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "permissions-policy": "camera=(self), microphone=(), geolocation=()",
  "referrer-policy": "no-referrer",
};

/** Names of built files hold a hash of their content. */
const unchanging = "public, max-age=31536000, immutable";

/**
 * The page's files by the path at which they are asked for; none where the page was not built. They
 * are held in memory, so that a server goes on sending one and the same page while it is built anew.
 */
export const listPageFiles = async (folder = pageFolder): Promise<Map<string, SentFile>> => {
  const files = new Map<string, SentFile>();
  const found = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  for (const entry of found) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = relative(folder, path).split(sep).join("/");
    const cache = name.startsWith("assets/") ? unchanging : "no-cache";
    const file = await holdFile(path, { ...pageHeaders, "cache-control": cache });
    files.set(name === "index.html" ? "/" : `/${name}`, file);
  }
  if (files.size === 0) return files;
  const runtime = dirname(createRequire(import.meta.url).resolve("onnxruntime-web/wasm"));
  for (const name of await readdir(runtime)) {
    if (!/^ort-wasm-[\w.-]+\.(mjs|wasm)$/.test(name)) continue;
    const headers = { ...pageHeaders, "cache-control": "no-cache" };
    files.set(`/runtime/${name}`, await describeFile(join(runtime, name), headers));
  }
  return files;
};
