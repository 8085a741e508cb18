/** `saccade serve [--model MODEL]`: an OpenAI-compatible server with a web page. */
import { basename, resolve } from "node:path";
import type { Command } from "commander";
import { type LogLine, type ServerOptions, startServer } from "../server/index.js";
import { listEmbeddedModels } from "../weights/embedded-models.node.js";
import type { CommandContext } from "./command-context.js";
import { UsageError } from "./exit.js";
import {
  addModelOptions,
  collect,
  loadOptionsOf,
  type ModelFlags,
  option,
  parseCount,
  parseInteger,
  parseNumber,
} from "./options.js";

type ServeFlags = ModelFlags & {
  readonly model?: readonly string[];
  readonly share?: readonly string[];
  readonly host?: string;
  readonly port?: number;
  readonly apiKey?: readonly string[];
  readonly corsOrigin?: readonly string[];
  readonly allowedHost?: readonly string[];
  readonly allowedMediaDomain?: readonly string[];
  readonly allowedMediaAddress?: readonly string[];
  readonly mediaPath?: string;
  readonly workers?: number;
  readonly maxSequences?: number;
  readonly maxQueue?: number;
  readonly queueTimeout?: number;
  readonly requestTimeout?: number;
  readonly shutdownGrace?: number;
  readonly modelMemory?: number;
  readonly featureCache?: number;
  readonly prefixCache?: number;
  readonly maxBody?: number;
  readonly maxMediaSize?: number;
  readonly maxPixels?: number;
  readonly maxFrames?: number;
  readonly maxVideoFrames?: number;
  readonly maxAnswerTokens?: number;
  readonly log: "none" | "errors" | "requests";
};

/** `name=path`, or a path whose last part is the name. */
export const parseModels = (given: readonly string[]): Record<string, string> => {
  const models: Record<string, string> = {};
  for (const text of given) {
    const [, name, path] = /^([\w./:-]+)=(.+)$/.exec(text) ?? ["", undefined, text];
    const chosen = name ?? (/^[\w.-]+\/[\w.-]+$/.test(text) ? text : basename(resolve(path)));
    if (chosen in models) {
      throw new UsageError(
        `--model: every model needs a name of its own, got "${chosen}" twice; write --model NAME=PATH`,
      );
    }
    models[chosen] = path;
  }
  return models;
};

const mebibytes = (count: number | undefined): number | undefined =>
  count === undefined ? undefined : Math.round(count * 2 ** 20);
const milliseconds = (seconds: number | undefined): number | undefined =>
  seconds === undefined ? undefined : Math.round(seconds * 1000);

const without = <Options extends object>(options: Options): Partial<Options> =>
  Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as Partial<Options>;

/** The server's options; absent flags stay absent. */
export const serverOptionsOf = (
  flags: ServeFlags,
  models: Readonly<Record<string, string>>,
  log: (line: LogLine) => void,
): ServerOptions => ({
  models,
  sharedModels: flags.share,
  load: without({
    ...loadOptionsOf(flags),
    featureCacheBytes: mebibytes(flags.featureCache),
    prefixCacheBytes: mebibytes(flags.prefixCache),
  }),
  host: flags.host,
  port: flags.port,
  apiKeys: flags.apiKey,
  corsOrigins: flags.corsOrigin,
  allowedHosts: flags.allowedHost,
  serving: without({
    workersPerModel: flags.workers,
    maxSequences: flags.maxSequences,
    queueCapacity: flags.maxQueue,
    queueTimeoutMs: milliseconds(flags.queueTimeout),
    requestTimeoutMs: milliseconds(flags.requestTimeout),
    shutdownGraceMs: milliseconds(flags.shutdownGrace),
    maxModelBytes: mebibytes(flags.modelMemory),
  }),
  limits: without({
    maxBodyBytes: mebibytes(flags.maxBody),
    maxMediaBytes: mebibytes(flags.maxMediaSize),
    maxPixels: flags.maxPixels,
    maxFrames: flags.maxFrames,
    maxVideoFrames: flags.maxVideoFrames,
    maxAnswerTokens: flags.maxAnswerTokens,
  }),
  media: without({
    allowedDomains: flags.allowedMediaDomain,
    allowedAddresses: flags.allowedMediaAddress,
    folder: flags.mediaPath,
  }),
  log,
});

/** What is served where no model is named. */
const embeddedModels = async (): Promise<Record<string, string>> => {
  const models = await listEmbeddedModels();
  if (models.length === 0) {
    throw new UsageError(
      "serve needs a model, and this package has none embedded: saccade serve --model FOLDER",
    );
  }
  return Object.fromEntries(models.map(({ name, path }) => [name, path]));
};

const curlLine = (url: string, model: string, hasKey: boolean): string => {
  const key = hasKey ? " -H 'authorization: Bearer KEY'" : "";
  const body = JSON.stringify({
    model,
    messages: [{ role: "user", content: "What can you see?" }],
  });
  return `curl ${url}/v1/chat/completions -H 'content-type: application/json'${key} -d '${body}'`;
};

export const serve = async (
  flags: ServeFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const log = (line: LogLine): void => {
    if (flags.log === "none" || (flags.log === "errors" && line.level !== "error")) return;
    terminal.notice(JSON.stringify({ time: new Date().toISOString(), ...line }));
  };
  const models = flags.model === undefined ? await embeddedModels() : parseModels(flags.model);
  const options = serverOptionsOf(flags, models, log);
  const server = await startServer(options);
  const ended = new Promise<void>((fulfil) => {
    if (signal.aborted) fulfil();
    signal.addEventListener("abort", () => fulfil(), { once: true });
  });
  try {
    await Promise.race([server.ready, ended]);
    if (!signal.aborted) {
      const [name] = Object.keys(options.models);
      await terminal.write(
        `${server.url}\n\n  ${curlLine(server.url, name, (options.apiKeys ?? []).length > 0)}\n`,
      );
    }
    await ended;
    terminal.notice("ending: answers under way are finished first; Ctrl-C again ends at once");
  } finally {
    await server.close();
  }
};

/** Adds `serve` to the program. */
export const addServeCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("serve")
    .summary("an OpenAI-compatible server and a web page")
    .description(
      "Serves models over HTTP: Chat Completions and Responses, streamed or not, with a token budget for each image and what was done to it in the answer. Its address shows a page to chat with the models. Media from other hosts and files are refused unless they are allowed here.",
    )
    .addOption(
      option(
        "--model <name=path>",
        "folder or hub repository; may be repeated (default: all embedded models)",
      ).argParser(collect),
    )
    .addOption(
      option(
        "--share <name>",
        "let pages fetch this model, to answer in the browser; may be repeated (embedded models: always)",
      ).argParser(collect),
    )
    .addOption(option("--host <address>", "where to listen (default: 127.0.0.1, this machine)"))
    .addOption(option("--port <n>", "default: 8080; 0 takes a free one").argParser(parseInteger))
    .addOption(
      option("--api-key <key>", "asked of every request; may be repeated").argParser(collect),
    )
    .addOption(
      option("--cors-origin <origin>", "origin whose pages may ask; may be repeated").argParser(
        collect,
      ),
    )
    .addOption(
      option("--allowed-host <name>", "further name of this server; may be repeated").argParser(
        collect,
      ),
    )
    .addOption(
      option(
        "--allowed-media-domain <host>",
        "host that media may be fetched from; may be repeated (default: none)",
      ).argParser(collect),
    )
    .addOption(
      option(
        "--allowed-media-address <range>",
        "private address or range that may be asked none the less",
      ).argParser(collect),
    )
    .addOption(option("--media-path <folder>", "folder that file:// media may lie in"))
    .addOption(option("--workers <n>", "threads for each model (default: 1)").argParser(parseCount))
    .addOption(
      option("--max-sequences <n>", "answers of a thread decoded together (default: 8)").argParser(
        parseCount,
      ),
    )
    .addOption(
      option("--max-queue <n>", "requests that may wait (default: 64)").argParser(parseCount),
    )
    .addOption(
      option("--queue-timeout <s>", "longest wait for a turn (default: 60)").argParser(parseNumber),
    )
    .addOption(
      option("--request-timeout <s>", "longest time of an answer (default: 300)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--shutdown-grace <s>", "time for answers to end (default: 30)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--model-memory <MiB>", "memory of all loaded models (default: 8192)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--feature-cache <MiB>", "image features kept by a thread (default: 256)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--prefix-cache <MiB>", "earlier prompts kept by a thread (default: 256)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--max-body <MiB>", "largest body of a request (default: 64)").argParser(parseNumber),
    )
    .addOption(
      option("--max-media-size <MiB>", "largest image or video (default: 32)").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--max-pixels <n>", "of an image or frame (default: 40000000)").argParser(parseCount),
    )
    .addOption(
      option("--max-frames <n>", "frames taken of a video (default: 64)").argParser(parseCount),
    )
    .addOption(
      option("--max-video-frames <n>", "frames of a video (default: 9000)").argParser(parseCount),
    )
    .addOption(
      option("--max-answer-tokens <n>", "of an answer (default: 4096)").argParser(parseCount),
    )
    .addOption(
      option("--log <what>", "JSON lines on standard error")
        .choices(["none", "errors", "requests"])
        .default("errors"),
    );
  addModelOptions(command).action((flags: ServeFlags) => serve(flags, contextOf()));
};
