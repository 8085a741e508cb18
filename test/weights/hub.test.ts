import { mkdtemp, readdir, readlink, rm, stat } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DownloadError, ModelNotFoundError, OfflineError, OptionsError } from "../../src/errors.js";
import { float32 } from "../../src/tensor-data.js";
import { hubCacheFolder, isOffline } from "../../src/weights/hub-cache.node.js";
import type { DownloadProgress } from "../../src/weights/hub-download.node.js";
import { type ModelFolderOptions, openModelFolder } from "../../src/weights/model-folder.node.js";
import { encodeSafetensors } from "../../src/weights/safetensors-encoding.js";
import { type LoopbackHub, startLoopbackHub } from "../support/loopback-hub.js";

const repository = "org/tiny-model";
const big = Float32Array.from({ length: 100_000 }, (_, at) => at);
const shards = {
  "model-00001-of-00002.safetensors": encodeSafetensors(new Map([["a", float32([100_000], big)]])),
  "model-00002-of-00002.safetensors": encodeSafetensors(new Map([["b", float32([1], [7])]])),
};
const files = {
  "README.md": "not needed",
  "config.json": '{"model_type":"llava_llama"}',
  "tokenizer.json": '{"model":{}}',
  "pytorch_model.bin": "not needed",
  "vision_tower/config.json": '{"hidden_size":8}',
  "model.safetensors.index.json": JSON.stringify({
    weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
  }),
  ...shards,
};

let cacheDir = "";
let hub: LoopbackHub;
beforeEach(async () => {
  cacheDir = await mkdtemp(join(tmpdir(), "hub-cache-"));
  hub = await startLoopbackHub(repository, files);
});
afterEach(async () => {
  await hub.close();
  await rm(cacheDir, { recursive: true, force: true });
});
const open = (options: ModelFolderOptions = {}, variables: Record<string, string> = {}) =>
  openModelFolder(repository, {
    cacheDir,
    environment: { HF_ENDPOINT: hub.endpoint, ...variables },
    ...options,
  });
const contentRequests = () => hub.requests.filter(({ path }) => path.includes("/resolve/"));

describe("a download", () => {
  test("fetches what is needed, in the layout of the Python tools, and reports progress", async () => {
    const seen: DownloadProgress[] = [];
    const model = await open({ onProgress: (progress) => seen.push(progress) });
    expect(model.name).toBe(repository);
    expect(await model.readTensor("a")).toEqual(float32([100_000], big));
    expect((await model.subfolder("vision_tower"))?.config).toEqual({ hidden_size: 8 });

    const folder = join(cacheDir, "models--org--tiny-model");
    expect(model.path).toBe(join(folder, "snapshots", hub.commit));
    expect((await readdir(model.path)).sort()).toEqual([
      "config.json",
      "model-00001-of-00002.safetensors",
      "model-00002-of-00002.safetensors",
      "model.safetensors.index.json",
      "tokenizer.json",
      "vision_tower",
    ]);
    const link = await readlink(join(model.path, "model-00002-of-00002.safetensors"));
    expect(link).toMatch(/^\.\.\/\.\.\/blobs\/[0-9a-f]{64}$/);

    const last = seen.at(-1);
    expect(last?.receivedBytes).toBe(last?.totalBytes);
    expect(last?.totalBytes).toBe(
      Object.values(shards).reduce((sum, { byteLength }) => sum + byteLength, 0),
    );
    for (const [at, { file, receivedBytes }] of seen.entries())
      if (at > 0 && seen[at - 1].file === file)
        expect(receivedBytes).toBeGreaterThanOrEqual(seen[at - 1].receivedBytes);
  });

  test("a complete snapshot is used without any request, also offline", async () => {
    await open();
    hub.requests.length = 0;
    await open();
    await open({ offline: true });
    await open({ revision: hub.commit });
    expect(hub.requests).toEqual([]);
  });

  test("a file that went missing from the snapshot is fetched again, and only that one", async () => {
    const { path } = await open();
    await rm(join(path, "tokenizer.json"));
    await rm(join(path, "model-00001-of-00002.safetensors"));
    hub.requests.length = 0;
    const model = await open();
    expect((await model.readTensor("b")).shape).toEqual([1]);
    // Both blobs are still in the cache; only their links are made again.
    expect(contentRequests()).toEqual([]);
  });

  test("an interrupted one fails, and the next continues where it stopped", async () => {
    const path = "model-00001-of-00002.safetensors";
    hub.cutOnce = { path, afterBytes: 150_000 };
    await expect(open()).rejects.toThrow(DownloadError);
    const blobs = join(cacheDir, "models--org--tiny-model", "blobs");
    const partial = (await readdir(blobs)).find((name) => name.endsWith(".incomplete")) ?? "";
    const { size } = await stat(join(blobs, partial));
    expect(size).toBeGreaterThan(0);
    expect(size).toBeLessThanOrEqual(150_000);
    await expect(open({ offline: true })).rejects.toThrow(OfflineError);

    hub.requests.length = 0;
    const model = await open();
    expect(await model.readTensor("a")).toEqual(float32([100_000], big));
    const ranges = contentRequests()
      .filter((request) => request.path.endsWith(path))
      .map(({ range }) => range);
    expect(ranges).toContain(`bytes=${size}-${shards[path].byteLength - 1}`);
    expect((await readdir(blobs)).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  test("content with another hash is refused and not kept", async () => {
    hub.corrupt = "model-00002-of-00002.safetensors";
    await expect(open()).rejects.toThrow(/must have the hash .*got other content/);
    hub.corrupt = undefined;
    expect(await (await open()).readTensor("b")).toEqual(float32([1], [7]));
  });

  test("an abort ends it with the caller's reason", async () => {
    const abort = new AbortController();
    const reason = new Error("enough");
    const opening = open({ signal: abort.signal, onProgress: () => abort.abort(reason) });
    await expect(opening).rejects.toBe(reason);
  });

  test("sends HF_TOKEN, and refuses one that is none", async () => {
    await open({}, { HF_TOKEN: "hf_secret" });
    expect(new Set(hub.requests.map(({ authorization }) => authorization))).toEqual(
      new Set(["Bearer hf_secret"]),
    );
    await rm(cacheDir, { recursive: true });
    const refused = open({}, { HF_TOKEN: "secret" });
    await expect(refused).rejects.toThrow(OptionsError);
    await expect(refused).rejects.not.toThrow(/secret/);
  });

  test("an unknown repository and a dead endpoint are different errors", async () => {
    const environment = { HF_ENDPOINT: hub.endpoint };
    const unknown = openModelFolder("org/none", { cacheDir, environment });
    await expect(unknown).rejects.toThrow(ModelNotFoundError);
    await expect(open({}, { HF_ENDPOINT: "http://127.0.0.1:9" })).rejects.toThrow(DownloadError);
  });

  test("a repository of pickles is refused before anything is fetched", async () => {
    const pickles = await startLoopbackHub(repository, {
      "config.json": "{}",
      "pytorch_model.bin": "x",
    });
    await expect(open({}, { HF_ENDPOINT: pickles.endpoint })).rejects.toThrow(
      /got only pytorch_model\.bin/,
    );
    expect(pickles.requests.some(({ path }) => path.includes("/resolve/"))).toBe(false);
    await pickles.close();
  });

  test("revisions cannot leave the cache folder", async () => {
    await expect(open({ revision: "../../x" })).rejects.toThrow(OptionsError);
  });
});

test("offline refuses before any connection is made", async () => {
  await expect(open({ offline: true })).rejects.toThrow(OfflineError);
  await expect(open({}, { HF_HUB_OFFLINE: "1" })).rejects.toThrow(OfflineError);
  await expect(open({ offline: false }, { HF_HUB_OFFLINE: "1" })).rejects.toThrow(OfflineError);
  expect(hub.requests).toEqual([]);
});

test("the cache folder and the offline switch follow the environment", () => {
  expect(hubCacheFolder({ HF_HUB_CACHE: "/a", HF_HOME: "/b" })).toBe("/a");
  expect(hubCacheFolder({ HF_HOME: "/b" })).toBe(join("/b", "hub"));
  expect(hubCacheFolder({ XDG_CACHE_HOME: "/c" })).toBe(join("/c", "huggingface", "hub"));
  expect(hubCacheFolder({})).toBe(join(homedir(), ".cache", "huggingface", "hub"));
  expect(["1", "true", "ON", "yes"].map((value) => isOffline({ HF_HUB_OFFLINE: value }))).toEqual(
    Array(4).fill(true),
  );
  expect(
    [undefined, "", "0", "false"].map((value) => isOffline({ HF_HUB_OFFLINE: value })),
  ).toEqual(Array(4).fill(false));
});
