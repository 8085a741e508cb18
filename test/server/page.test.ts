import { mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import { request as requestHttp } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { type RunningServer, startServer } from "../../src/server/index.js";
import { shareModels } from "../../src/server/page/model-files.js";
import { askAbout, dataUrl, hookTimeoutMs, randomPng } from "../support/server.js";
import { useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
let server: RunningServer;
let folder: string;
beforeAll(async () => {
  folder = await folders.write("avg");
  await writeFile(join(folder, "notes.txt"), "nobody's business");
  await mkdir(join(folder, "..", "outside"), { recursive: true });
  await writeFile(join(folder, "..", "outside", "secret.json"), "{}");
  await symlink(join(folder, "..", "outside", "secret.json"), join(folder, "link.json"));
  server = await startServer({
    port: 0,
    models: { shared: folder, own: await folders.write("llava-pad") },
    sharedModels: ["shared"],
    apiKeys: ["secret"],
    load: { threads: 1 },
  });
  await server.ready;
}, hookTimeoutMs);
afterAll(() => server?.close());

const authorization = "Bearer secret";
const get = (path: string, headers: Readonly<Record<string, string>> = { authorization }) =>
  fetch(`${server.url}${path}`, { headers });

/** Asks for a path as it is written: `fetch` would tidy it up. */
const rawStatus = (path: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(server.url);
    requestHttp({ hostname, port, path, headers: { authorization } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on("error", reject)
      .end();
  });

describe("the page", () => {
  test("comes without a key, isolated, and may load nothing from elsewhere", async () => {
    const page = await get("/", {});
    expect(page.status).toBe(200);
    expect(page.headers.get("content-type")).toContain("text/html");
    const policy = page.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("script-src 'self' 'wasm-unsafe-eval'");
    expect(policy).not.toMatch(/unsafe-inline|'unsafe-eval'|\*|https?:/);
    expect(page.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(page.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    const html = await page.text();
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    const paths = Array.from(html.matchAll(/(?:src|href)="\.\/([^"]+)"/g), ([, path]) => path);
    expect(paths.length).toBeGreaterThan(2);
    for (const path of paths) expect((await get(`/${path}`, {})).status, path).toBe(200);
  });

  test("is small: what a first visit fetches has less than 100 kB", async () => {
    const html = await (await get("/", {})).text();
    let bytes = html.length;
    for (const [, path] of html.matchAll(/(?:src|href)="\.\/([^"]+)"/g)) {
      bytes += (await (await get(`/${path}`, {})).arrayBuffer()).byteLength;
    }
    expect(bytes).toBeLessThan(100_000);
  });

  test("finds ONNX Runtime's files on the same server", async () => {
    const { headers, status } = await get("/runtime/ort-wasm-simd-threaded.wasm", {});
    expect(status).toBe(200);
    expect(headers.get("content-type")).toBe("application/wasm");
    expect((await get("/runtime/package.json", {})).status).toBe(401);
    expect((await get("/runtime/package.json")).status).toBe(404);
  });

  test("is asked for again by its tag alone", async () => {
    const first = await get("/", {});
    const etag = first.headers.get("etag") ?? "";
    await first.text();
    const again = await get("/", { "if-none-match": etag });
    expect([again.status, await again.text()]).toEqual([304, ""]);
  });
});

describe("files of a shared model", () => {
  test("are those of its folder, whole or a range, to whoever has the key", async () => {
    const bytes = await readFile(join(folder, "model.safetensors"));
    const path = "/models/shared/model.safetensors";
    expect((await get(path, {})).status).toBe(401);
    const whole = await get(path);
    expect(whole.headers.get("content-length")).toBe(String(bytes.byteLength));
    expect(Buffer.from(await whole.arrayBuffer()).equals(bytes)).toBe(true);

    const part = await get(path, { authorization, range: "bytes=8-19" });
    expect(part.status).toBe(206);
    expect(part.headers.get("content-range")).toBe(`bytes 8-19/${bytes.byteLength}`);
    expect(Buffer.from(await part.arrayBuffer()).equals(bytes.subarray(8, 20))).toBe(true);
    const end = await get(path, { authorization, range: "bytes=-4" });
    expect(Buffer.from(await end.arrayBuffer()).equals(bytes.subarray(-4))).toBe(true);
    const beyond = await get(path, { authorization, range: `bytes=${bytes.byteLength}-` });
    expect(beyond.status).toBe(416);

    const head = await fetch(`${server.url}${path}`, {
      method: "HEAD",
      headers: { authorization },
    });
    expect(head.headers.get("content-length")).toBe(String(bytes.byteLength));
    expect((await get("/models/shared/vision_tower/config.json")).status).toBe(200);
  });

  test.each([
    "/models/shared/../outside/secret.json",
    "/models/shared/%2e%2e/outside/secret.json",
    "/models/shared/..%2foutside%2fsecret.json",
    "/models/shared/..%5coutside%5csecret.json",
    "/models/shared/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "/models/..%2f..%2fpackage.json",
    "/models//etc/passwd",
    "/models/shared/%00",
    "/models/shared/%ff",
    "/models/shared/",
    "/models/shared/link.json",
    "/models/shared/notes.txt",
    "/models/own/model.safetensors",
    "/models/__proto__/config.json",
  ])("%s is no such file", async (path) => {
    expect(await rawStatus(path)).toBe(404);
  });

  test("are told by /v1/models, with their bytes, and only where they are shared", async () => {
    const { data } = (await (await get("/v1/models")).json()) as {
      data: { id: string; browser: { files: string; bytes: number } | null }[];
    };
    const browsers = Object.fromEntries(data.map(({ id, browser }) => [id, browser]));
    expect(browsers.own).toBeNull();
    expect(browsers.shared?.files).toBe("/models/shared/");
    const { bytes } = (await shareModels([["a", folder]])).shared.get("a") ?? {};
    const weights = (await readFile(join(folder, "model.safetensors"))).byteLength;
    expect(bytes).toBeGreaterThan(weights);
    expect(browsers.shared?.bytes).toBe(bytes);
  });

  test("of a model that is not served cannot be shared", async () => {
    const options = { port: 0, models: { own: folder }, sharedModels: ["other"] };
    await expect(startServer(options)).rejects.toThrow(OptionsError);
  });
});

describe("before anything runs", () => {
  test("models say what they leave to choose, also those that are not loaded", async () => {
    const url = server.models.entries.find(({ name }) => name === "shared");
    expect(url?.info.choices).toEqual({ granularities: [1, 2, 4, 8, 16], hasRouter: true });
    expect(url?.info.imageTokens).toBeGreaterThan(16);
  });

  test("a count says which views will be seen and what that costs", async () => {
    const response = await fetch(`${server.url}/v1/chat/completions/input_tokens`, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify({
        model: "shared",
        messages: askAbout("What?", dataUrl(await randomPng(100, 60))),
        mm_processor_kwargs: { granularity: 1 },
      }),
    });
    const { vision, input_tokens_details } = (await response.json()) as {
      input_tokens_details: { image_tokens: number };
      vision: {
        system: string;
        flops: { total: number };
        bytes: { peak: number };
        media: { tokens: number; width: number; views: { role: string; box: object }[] }[];
      };
    };
    const [medium] = vision.media;
    expect(vision.system).toBe("avg-llava");
    expect(medium.tokens).toBe(input_tokens_details.image_tokens);
    expect(medium.width).toBe(100);
    expect(medium.views[0].role).toBe("whole");
    expect(medium.views.length).toBeGreaterThan(2);
    expect(vision.flops.total).toBeGreaterThan(0);
    expect(vision.bytes.peak).toBeGreaterThan(0);
  });
});
