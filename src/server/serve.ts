/** A server from its options: models, media, HTTP, and an orderly end. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { serve as listen, type ServerType } from "@hono/node-server";
import { getConnInfo } from "@hono/node-server/conninfo";
import type { Context } from "hono";
import { OptionsError } from "../errors.js";
import { listEmbeddedModels } from "../weights/embedded-models.node.js";
import { createAnswering, shuttingDown } from "./answering.js";
import { createApp } from "./app.js";
import { createLocalMedia } from "./media/local-media.js";
import { createMediaResolver } from "./media/media-resolver.js";
import { createRemoteMedia } from "./media/remote-media.js";
import { UploadStore } from "./media/upload-store.js";
import { createServerMetrics } from "./metrics.js";
import { shareModels } from "./page/model-files.js";
import { listPageFiles } from "./page/page-files.js";
import {
  defaultLimits,
  defaultLoad,
  defaultMedia,
  defaultServing,
  type ServerOptions,
} from "./server-options.js";
import { ModelRegistry, type ModelSpec } from "./serving/model-registry.js";

export type RunningServer = {
  /** Address to ask, as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Settles when the models that fit are loaded; throws what loading throws. */
  readonly ready: Promise<void>;
  readonly models: ModelRegistry;
  /**
   * Ends the server: no new requests, what waits is refused, answers under way get the grace time and
   * are then ended with an error in their stream. Resolves when everything is closed.
   */
  close(): Promise<void>;
};

const readVersion = (): string => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return String((JSON.parse(text) as { version: unknown }).version);
};

const loopback = new Set(["127.0.0.1", "::1", "localhost"]);

/** Names by which a server may be asked that only this machine can reach; undefined for any. */
const hostsOf = (
  host: string,
  apiKeys: readonly string[],
  allowed: readonly string[],
): ReadonlySet<string> | undefined =>
  loopback.has(host) && apiKeys.length === 0
    ? new Set([...loopback, "[::1]", ...allowed])
    : undefined;

const addressOf = (context: Context): string => {
  try {
    return getConnInfo(context).remote.address ?? "";
  } catch {
    return "";
  }
};

const defined = <Options extends object>(options: Options | undefined): Partial<Options> =>
  Object.fromEntries(
    Object.entries(options ?? {}).filter(([, value]) => value !== undefined),
  ) as Partial<Options>;

/** A request's headers must come within this time, and its body within the other. */
const headersTimeoutMs = 20_000;
const bodyTimeoutMs = 120_000;

const startListening = (
  fetch: (request: Request, env: unknown) => Response | Promise<Response>,
  hostname: string,
  port: number,
): Promise<{ readonly server: ServerType; readonly port: number }> =>
  new Promise((resolve, reject) => {
    const server = listen({ fetch, hostname, port }, (info) =>
      resolve({ server, port: info.port }),
    );
    server.on("error", (error: NodeJS.ErrnoException) => {
      reject(
        error.code === "EADDRINUSE" || error.code === "EACCES" || error.code === "EADDRNOTAVAIL"
          ? new OptionsError(
              `serve: host and port must be free to listen on, got ${hostname} and ${port} (${error.code}); choose another with --port`,
            )
          : error,
      );
    });
    if ("headersTimeout" in server) {
      server.headersTimeout = headersTimeoutMs;
      server.requestTimeout = bodyTimeoutMs;
      server.keepAliveTimeout = 5000;
    }
  });

/**
 * Starts a server; it answers `/health` at once and requests when its models are loaded. Throws
 * `OptionsError` for options that cannot be, and what opening the models' folders throws.
 */
export const startServer = async (options: ServerOptions): Promise<RunningServer> => {
  const { host = "127.0.0.1", port = 8080, apiKeys = [], corsOrigins = [] } = options;
  const serving = { ...defaultServing, ...defined(options.serving) };
  const limits = { ...defaultLimits, ...defined(options.limits) };
  const access = { ...defaultMedia, ...defined(options.media) };
  const log = options.log ?? (() => {});
  if (apiKeys.some((key) => key === "")) {
    throw new OptionsError("serve: an API key must not be empty; leave it out for none");
  }
  const load = { ...defaultLoad, ...defined(options.load) };
  const specs = Object.entries(options.models).map(
    ([name, path]): ModelSpec => ({ name, start: { path, options: load, limits } }),
  );
  if (specs.length === 0) throw new OptionsError("serve: needs at least one model; add --model");
  const models = await ModelRegistry.open(specs, {
    numWorkers: serving.workersPerModel,
    maxSequences: serving.maxSequences,
    queueCapacity: serving.queueCapacity,
    queueTimeoutMs: serving.queueTimeoutMs,
    maxBytes: serving.maxModelBytes,
  });
  const unknown = options.sharedModels?.find((name) => !(name in options.models));
  if (unknown !== undefined) {
    throw new OptionsError(
      `serve: only a served model can be shared, got "${unknown}"; add it with --model ${unknown}=FOLDER`,
    );
  }
  const embedded = new Set((await listEmbeddedModels()).map(({ path }) => path));
  const modelFiles = await shareModels(
    models.entries
      .filter(({ name, folder }) => options.sharedModels?.includes(name) || embedded.has(folder))
      .map(({ name, folder }) => [name, folder]),
  );
  const uploads = new UploadStore({
    maxBytes: limits.maxUploadBytes,
    lifetimeSeconds: limits.uploadLifetimeSeconds,
  });
  const media = createMediaResolver({
    fetchMedia: createRemoteMedia({
      allowedDomains: access.allowedDomains,
      allowedAddresses: access.allowedAddresses,
      maxBytes: limits.maxMediaBytes,
      ...(access.resolve && { resolve: access.resolve }),
    }),
    readLocal: createLocalMedia(access.folder, limits.maxMediaBytes),
    uploads,
    maxMedia: limits.maxMedia,
    maxBytes: limits.maxMediaBytes,
    maxTotalBytes: limits.maxTotalMediaBytes,
    imageTimeoutMs: access.imageTimeoutMs,
    videoTimeoutMs: access.videoTimeoutMs,
  });
  const metrics = createServerMetrics(models);
  const answering = createAnswering({ models, media, metrics, serving, limits });
  const state = { isReady: false, isClosing: false };
  const hosts = hostsOf(host, apiKeys, options.allowedHosts ?? []);
  const app = createApp({
    answering,
    models,
    uploads,
    metrics,
    serving,
    limits,
    apiKeys,
    corsOrigins,
    page: await listPageFiles(),
    modelFiles,
    ...(hosts && { hosts }),
    version: readVersion(),
    log,
    addressOf,
    state,
  });
  const { server, port: actualPort } = await startListening(app.fetch, host, port);
  const ready = models.loadAll().then(() => {
    state.isReady = true;
  });
  ready.catch(() => {});

  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    state.isClosing = true;
    state.isReady = false;
    answering.refuse();
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const endMs = performance.now() + serving.shutdownGraceMs;
    while (answering.numActive > 0 && performance.now() < endMs) await pause(20);
    answering.abort(shuttingDown());
    while (answering.numActive > 0) await pause(5);
    if ("closeIdleConnections" in server) {
      server.closeIdleConnections();
      // What is left has got its last bytes or does not take them.
      const timer = setTimeout(() => server.closeAllConnections(), 1000);
      await closed;
      clearTimeout(timer);
    }
    await models.close();
    await media.close();
  };
  const shown = isIP(host) === 6 ? `[${host}]` : host;
  return {
    url: `http://${shown}:${actualPort}`,
    ready,
    models,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
};

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
