import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout } from "node:timers/promises";

/** One request as the hub saw it. */
export type SeenRequest = {
  path: string;
  range: string | undefined;
  authorization: string | undefined;
};

export type LoopbackHub = {
  readonly endpoint: string;
  readonly commit: string;
  readonly requests: SeenRequest[];
  /** Cut the connection after so many bytes of this file, once. */
  cutOnce: { path: string; afterBytes: number } | undefined;
  /** Send other bytes than those that were hashed. */
  corrupt: string | undefined;
  readonly close: () => Promise<void>;
};

const gitHash = (content: Buffer): string =>
  createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
const sha256 = (content: Buffer): string => createHash("sha256").update(content).digest("hex");

/**
 * Plays the three hub endpoints that a download uses, on 127.0.0.1: the commit of a revision, the tree of a commit, and
 * file contents with ranges. Files ending in .safetensors are listed as large files.
 */
export const startLoopbackHub = async (
  repository: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<LoopbackHub> => {
  const contents = new Map(Object.entries(files).map(([path, data]) => [path, Buffer.from(data)]));
  const commit = createHash("sha1").update(repository).digest("hex");
  const tree = [...contents].map(([path, content]) => ({
    type: "file",
    path,
    size: content.length,
    oid: gitHash(content),
    ...(path.endsWith(".safetensors") && {
      lfs: { oid: sha256(content), size: content.length, pointerSize: 130 },
    }),
  }));
  const json = (response: ServerResponse, status: number, body: unknown) => {
    response.writeHead(status, { "Content-Type": "application/json" });
    response.end(JSON.stringify(body));
  };

  const sendFile = async (path: string, request: IncomingMessage, response: ServerResponse) => {
    const stored = contents.get(path);
    if (!stored) return json(response, 404, { error: "Entry not found" });
    const content = hub.corrupt === path ? Buffer.alloc(stored.length, 1) : stored;
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const [start, end] = range ? [Number(range[1]), Number(range[2]) + 1] : [0, content.length];
    const body = content.subarray(start, end);
    response.writeHead(range ? 206 : 200, {
      ETag: `"${gitHash(stored)}"`,
      "Content-Length": body.length,
      ...(range && { "Content-Range": `bytes ${start}-${end - 1}/${content.length}` }),
    });
    const { cutOnce } = hub;
    if (cutOnce?.path === path && body.length > cutOnce.afterBytes) {
      hub.cutOnce = undefined;
      response.write(body.subarray(0, cutOnce.afterBytes));
      // Let the first bytes arrive before the connection breaks.
      await setTimeout(150);
      response.destroy();
    } else response.end(body);
  };

  const server = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    const { range, authorization } = request.headers;
    hub.requests.push({ path, range, authorization });
    const model = `/api/models/${repository}`;
    const content = `/${repository}/resolve/${commit}/`;
    if (path === `${model}/revision/main` || path === `${model}/revision/${commit}`)
      json(response, 200, { _id: "1", id: repository, sha: commit, lastModified: 0 });
    else if (path === `${model}/tree/${commit}`) json(response, 200, tree);
    else if (path.startsWith(content)) void sendFile(path.slice(content.length), request, response);
    else json(response, 404, { error: "Repository not found" });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const hub: LoopbackHub = {
    endpoint: `http://127.0.0.1:${port}`,
    commit,
    requests: [],
    cutOnce: undefined,
    corrupt: undefined,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return hub;
};
