import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { DownloadError, ModelConfigError, ModelNotFoundError } from "../../src/errors.js";
import { openWebFolder } from "../../src/load/folder-web.js";
import { float32 } from "../../src/tensor-data.js";
import type { FetchProgress } from "../../src/weights/folder-files-web.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { encodeSafetensors } from "../../src/weights/safetensors-encoding.js";

const fixture = fileURLToPath(new URL("../fixtures/llava-mini-image-c1", import.meta.url));

let server: Server;
let requests: string[] = [];
/** Answers every request; each test may set another. */
let answer: RequestListener;

/** Serves a folder's files, or `files`; whatever else is asked for is a 404. */
const serveFiles =
  (from: string | ReadonlyMap<string, Uint8Array>): RequestListener =>
  async (request, response) => {
    const name = normalize((request.url ?? "").replace("/model/", ""));
    const bytes =
      typeof from === "string"
        ? await readFile(join(from, name)).catch(() => undefined)
        : from.get(name);
    response.statusCode = bytes === undefined ? 404 : 200;
    if (bytes !== undefined) response.setHeader("content-length", bytes.byteLength);
    response.end(request.method === "HEAD" ? undefined : bytes);
  };

const address = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/model`;

beforeEach(async () => {
  requests = [];
  answer = serveFiles(fixture);
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const text = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const weights = (...names: string[]): Uint8Array =>
  encodeSafetensors(new Map(names.map((name, at) => [name, float32([1], [at])])));

const filesOf = async (folder: string): Promise<Map<string, Uint8Array>> => {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = new Map<string, Uint8Array>();
  for (const entry of names.filter((each) => each.isFile())) {
    const path = join(entry.parentPath, entry.name);
    files.set(path.slice(folder.length + 1), await readFile(path));
  }
  return files;
};

describe("openWebFolder gives what openModelFolder gives", () => {
  const sources = {
    "an address": async () => address(),
    "a map of contents": () => filesOf(fixture),
    "the files of a folder dialogue": async () =>
      [...(await filesOf(fixture))].map(([name, bytes]) =>
        Object.defineProperty(
          new File([bytes as Uint8Array<ArrayBuffer>], name.split("/").at(-1) ?? ""),
          "webkitRelativePath",
          { value: `chosen/${name}` },
        ),
      ),
  };
  it.each(Object.entries(sources))("from %s", async (_, source) => {
    const disk = await openModelFolder(fixture);
    const { folder, weightFiles, readFile: readBlob } = await openWebFolder(await source());
    expect(folder.config).toEqual(disk.config);
    expect(folder.preprocessorConfig).toEqual(disk.preprocessorConfig);
    const tower = await folder.subfolder("vision_tower");
    expect(tower?.config).toEqual((await disk.subfolder("vision_tower"))?.config);
    expect(await folder.subfolder("other")).toBeUndefined();

    expect([...folder.tensors.keys()]).toEqual([...disk.tensors.keys()]);
    const name = "model.norm.weight";
    expect(folder.tensors.get(name)?.entry).toEqual(disk.tensors.get(name)?.entry);
    expect(await folder.readTensor(name)).toEqual(await disk.readTensor(name));
    const blobs = await weightFiles(folder.tensors);
    expect([...blobs.keys()]).toEqual(["model.safetensors"]);
    const bytes = await readFile(join(fixture, "model.safetensors"));
    expect(blobs.get("model.safetensors")?.size).toBe(bytes.byteLength);
    expect(await readBlob("nothing.txt")).toBeUndefined();
  });

  it("from shards, each a file of its own", async () => {
    const map = { a: "m-1.safetensors", b: "m-1.safetensors", c: "m-2.safetensors" };
    const { folder, weightFiles } = await openWebFolder(
      new Map([
        ["config.json", text({})],
        ["m-1.safetensors", weights("a", "b")],
        ["m-2.safetensors", weights("c")],
        ["model.safetensors.index.json", text({ weight_map: map })],
      ]),
    );
    expect(Object.fromEntries([...folder.tensors].map(([name, { file }]) => [name, file]))).toEqual(
      map,
    );
    expect(await folder.readTensor("b")).toEqual(float32([1], [1]));
    expect([...(await weightFiles(folder.tensors)).keys()]).toEqual([
      "m-1.safetensors",
      "m-2.safetensors",
    ]);
  });
});

describe("a folder behind an address", () => {
  it("is named by its repository, or by its last folder", async () => {
    expect((await openWebFolder(address())).folder.name).toBe("model");
    const inner = answer;
    answer = (request, response) => {
      request.url = request.url?.replace("/model/org/name/resolve/main", "/model");
      inner(request, response);
    };
    const { folder } = await openWebFolder(`${address()}/org/name/resolve/main/`);
    expect(folder.name).toBe("org/name");
  });

  it("has its weights fetched once, with progress up to their size", async () => {
    const seen: FetchProgress[] = [];
    const opened = await openWebFolder(address(), {
      onProgress: (progress) => seen.push(progress),
    });
    await opened.weightFiles(opened.folder.tensors);
    await opened.folder.readTensor("model.norm.weight");
    expect(requests.filter((line) => line === "GET /model/model.safetensors")).toHaveLength(1);
    const last = seen.filter(({ file }) => file === "model.safetensors").at(-1);
    const size = (await readFile(join(fixture, "model.safetensors"))).byteLength;
    expect(last).toEqual({ file: "model.safetensors", receivedBytes: size, totalBytes: size });
  });

  it("takes a page in place of a file as no file", async () => {
    const inner = answer;
    answer = (request, response) => {
      if (!/jinja|generation|processor_config|tokenizer/.test(request.url ?? "")) {
        inner(request, response);
        return;
      }
      response.setHeader("content-type", "text/html; charset=utf-8");
      response.end("<!doctype html><title>application</title>");
    };
    const { folder } = await openWebFolder(address());
    expect(folder.chatTemplate).toBeUndefined();
    expect(folder.generationConfig).toBeUndefined();
  });

  it("that refuses is a DownloadError, and so is one that does not answer", async () => {
    answer = (_, response) => {
      response.statusCode = 403;
      response.end();
    };
    await expect(openWebFolder(address())).rejects.toThrow(DownloadError);
    await expect(openWebFolder(address())).rejects.toThrow(/got HTTP 403 for http.*config\.json/);
    const gone = address();
    await new Promise((resolve) => {
      server.closeAllConnections();
      server.close(resolve);
    });
    await expect(openWebFolder(gone)).rejects.toThrow(DownloadError);
  });

  it("that breaks off is a DownloadError, and the file can be asked for again", async () => {
    const { readFile: readBlob } = await openWebFolder(address());
    const inner = answer;
    answer = (_, response) => {
      response.setHeader("content-length", 100);
      response.write("begin");
      setTimeout(() => response.destroy(), 20);
    };
    await expect(readBlob("io.safetensors")).rejects.toThrow(DownloadError);
    answer = inner;
    expect((await readBlob("io.safetensors"))?.size).toBeGreaterThan(1000);
  });

  it("stops when it is told to, with the caller's own reason", async () => {
    const stop = new AbortController();
    answer = () => stop.abort(new Error("enough"));
    await expect(openWebFolder(address(), { signal: stop.signal })).rejects.toThrow("enough");
  });
});

describe("files that are no model are refused", () => {
  it("without config.json", async () => {
    await expect(openWebFolder(new Map())).rejects.toThrow(ModelConfigError);
  });

  it("without weights, naming what there is instead", async () => {
    const folder = await mkdtemp(join(tmpdir(), "folder-web-"));
    await writeFile(join(folder, "config.json"), "{}");
    await writeFile(join(folder, "pytorch_model.bin"), "x");
    const files = await filesOf(folder);
    await rm(folder, { recursive: true });
    await expect(openWebFolder(files)).rejects.toThrow(ModelNotFoundError);
    await expect(openWebFolder(files)).rejects.toThrow(/got only pytorch_model\.bin/);
  });
});
