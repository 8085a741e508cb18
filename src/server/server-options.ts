import type { LoadModelOptions } from "../generate/load-model.node.js";
import type { Resolve } from "./media/remote-media.js";

/** Everything a server can be told; what is absent has the safe default that is named here. */
export type ServerOptions = {
  /** Models by the name that requests ask for: a folder or hub repository each. */
  readonly models: Readonly<Record<string, string>>;
  /**
   * Names of models whose files anybody who may ask can fetch too, so that the web page can answer in
   * the browser. Embedded models always are.
   */
  readonly sharedModels?: readonly string[];
  /** How models are loaded. */
  readonly load?: LoadModelOptions;
  /** Default `127.0.0.1`: nobody else can connect. */
  readonly host?: string;
  /** Default 8080; 0 takes a free one. */
  readonly port?: number;
  /** Keys of which a request must bring one; none are asked for by default. */
  readonly apiKeys?: readonly string[];
  /** Origins whose pages may ask from a browser; none by default, `*` for all. */
  readonly corsOrigins?: readonly string[];
  /** Names by which a server on this machine may be asked, besides its own. */
  readonly allowedHosts?: readonly string[];
  readonly serving?: Partial<ServingOptions>;
  readonly limits?: Partial<RequestLimits>;
  readonly media?: Partial<MediaAccess>;
  /** Takes a line for each request, and what went wrong. */
  readonly log?: (line: LogLine) => void;
};

export type LogLine = Readonly<Record<string, string | number | boolean | undefined>>;

export type ServingOptions = {
  /** Threads for each model. Default 1. */
  readonly workersPerModel: number;
  /** Requests that one thread decodes together. Default 8. */
  readonly maxSequences: number;
  /** Requests that may wait for a model; one more gets 429. Default 64. */
  readonly queueCapacity: number;
  /** Longest wait for a turn. Default 60 s. */
  readonly queueTimeoutMs: number;
  /** Longest time for an answer, queue included. Default 300 s. */
  readonly requestTimeoutMs: number;
  /** How long answers may go on when the server is asked to end. Default 30 s. */
  readonly shutdownGraceMs: number;
  /** Time after which a quiet stream gets a comment line. Default 15 s. */
  readonly pingMs: number;
  /** Bytes that loaded models may take together, by their estimates. Default 8 GiB. */
  readonly maxModelBytes: number;
};

export type RequestLimits = {
  /** Bytes of a request's body. Default 64 MiB. */
  readonly maxBodyBytes: number;
  /** Bytes of one image or video. Default 32 MiB. */
  readonly maxMediaBytes: number;
  /** Bytes of all media of a request. Default 128 MiB. */
  readonly maxTotalMediaBytes: number;
  /** Images and videos of a request. Default 32. */
  readonly maxMedia: number;
  /** Pixels of an image or frame. Default 40 million. */
  readonly maxPixels: number;
  /** Frames taken of a video; more are never read. Default 64. */
  readonly maxFrames: number;
  /** Frames that a video may have. Default 9,000: five minutes at 30 a second. */
  readonly maxVideoFrames: number;
  /** Most tokens of an answer. Default 4,096. */
  readonly maxAnswerTokens: number;
  /** Bytes of all uploads together. Default 256 MiB. */
  readonly maxUploadBytes: number;
  /** How long an upload is kept. Default 3,600 s. */
  readonly uploadLifetimeSeconds: number;
};

export type MediaAccess = {
  /** Hosts that media may be fetched from. Default none. */
  readonly allowedDomains: readonly string[];
  /** Private addresses or ranges that may be asked none the less. Default none. */
  readonly allowedAddresses: readonly string[];
  /** Folder below which `file://` media may lie. Default none. */
  readonly folder: string | undefined;
  /** Default 5 s and 30 s. */
  readonly imageTimeoutMs: number;
  readonly videoTimeoutMs: number;
  /** How hosts are resolved; the system's resolver by default. */
  readonly resolve: Resolve | undefined;
};

const mebi = 2 ** 20;

export const defaultServing: ServingOptions = {
  workersPerModel: 1,
  maxSequences: 8,
  queueCapacity: 64,
  queueTimeoutMs: 60_000,
  requestTimeoutMs: 300_000,
  shutdownGraceMs: 30_000,
  pingMs: 15_000,
  maxModelBytes: 8192 * mebi,
};

export const defaultLimits: RequestLimits = {
  maxBodyBytes: 64 * mebi,
  maxMediaBytes: 32 * mebi,
  maxTotalMediaBytes: 128 * mebi,
  maxMedia: 32,
  maxPixels: 40_000_000,
  maxFrames: 64,
  maxVideoFrames: 9000,
  maxAnswerTokens: 4096,
  maxUploadBytes: 256 * mebi,
  uploadLifetimeSeconds: 3600,
};

export const defaultMedia: MediaAccess = {
  allowedDomains: [],
  allowedAddresses: [],
  folder: undefined,
  imageTimeoutMs: 5000,
  videoTimeoutMs: 30_000,
  resolve: undefined,
};

/** What is kept between requests of a served model, unless it is said otherwise. */
export const defaultLoad: LoadModelOptions = {
  featureCacheBytes: 256 * mebi,
  prefixCacheBytes: 256 * mebi,
};
