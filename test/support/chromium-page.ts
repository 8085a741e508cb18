import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";
import { findChromium } from "../../scripts/chromium.mjs";

const executablePath = findChromium();

/** Whether a Chromium is installed; prints once per test file why its tests are skipped. */
export const hasChromium = executablePath !== undefined;
if (!hasChromium) {
  process.stderr.write(
    "skipped: browser tests need Chromium; install it or set SACCADE_CHROMIUM\n",
  );
}

const root = fileURLToPath(new URL("../..", import.meta.url));
const runtimeFolder = join(root, "node_modules/onnxruntime-web/dist");
const contentTypes: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".json": "application/json",
  ".wasm": "application/wasm",
};

/** The page's script and the engine's two workers, as an application's bundler would make them. */
const bundle = async (): Promise<ReadonlyMap<string, Uint8Array>> => {
  const { outputFiles } = await esbuild.build({
    absWorkingDir: root,
    entryPoints: {
      page: "test/browser/page.ts",
      "session-worker-wasm": "src/graph/session-worker-wasm.ts",
      "session-worker-webgpu": "src/graph/session-worker-webgpu.ts",
    },
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "browser",
    target: "es2022",
    outdir: "/",
    write: false,
  });
  return new Map(outputFiles.map(({ path, contents }) => [path.slice(1), contents]));
};

/**
 * Serves the bundle at `/isolated/`, with the headers that allow threads, and at `/plain/` without
 * them; the runtime's files next to both, and `test/fixtures` at `/fixtures/`.
 */
const serve = (scripts: ReadonlyMap<string, Uint8Array>): Promise<Server> => {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname.slice(1);
    const [place, ...rest] = path.split("/");
    const name = rest.join("/");
    response.setHeader("content-type", contentTypes[extname(name)] ?? "application/octet-stream");
    if (place !== "plain") {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
      response.setHeader("cross-origin-resource-policy", "cross-origin");
    }
    if (name === "" && place !== "fixtures") {
      response.setHeader("content-type", "text/html");
      response.end(
        '<!doctype html><title>test</title><script type="module" src="page.js"></script>',
      );
      return;
    }
    const script = place === "fixtures" ? undefined : scripts.get(name);
    if (script !== undefined) {
      response.end(script);
      return;
    }
    const folder = place === "fixtures" ? join(root, "test/fixtures") : runtimeFolder;
    const file = join(folder, normalize(`/${name}`));
    const isKnown = ["fixtures", "isolated", "plain"].includes(place);
    if (!isKnown || !existsSync(file) || !statSync(file).isFile()) {
      response.statusCode = 404;
      response.end();
      return;
    }
    response.setHeader("content-length", statSync(file).size);
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
};

export type BrowserSession = {
  readonly browser: Browser;
  /** Address of the server, with a slash at its end. */
  readonly address: string;
  /** A fresh page that has the library; what it prints as an error fails nothing but is kept. */
  openPage(place: "isolated" | "plain"): Promise<Page>;
  close(): Promise<void>;
};

const quietArgs =
  "--headless --no-sandbox --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
/** WebGPU computed by SwiftShader: any machine has it, and results do not depend on a card. */
const webgpuArgs = "--enable-unsafe-webgpu --use-webgpu-adapter=swiftshader";

/** Starts Chromium with or without a WebGPU adapter, and the server of its pages. */
export const startChromium = async ({
  webgpu,
}: {
  readonly webgpu: boolean;
}): Promise<BrowserSession> => {
  const server = await serve(await bundle());
  const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const browser = await chromium.launch({
    executablePath: executablePath ?? "",
    args: `${quietArgs} ${webgpu ? webgpuArgs : "--disable-gpu"}`.split(" "),
  });
  return {
    browser,
    address,
    openPage: async (place) => {
      const page = await browser.newPage();
      await page.goto(`${address}${place}/`);
      await page.waitForFunction(() => "library" in globalThis);
      return page;
    },
    close: async () => {
      await browser.close();
      await new Promise((resolve) => server.close(resolve));
    },
  };
};
