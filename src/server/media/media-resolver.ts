import { randomUUID } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isVideoStart, mayMove, startBytes } from "../../video/video-start.js";
import { ApiError, invalidRequest } from "../api/api-error.js";
import type { MediaPart } from "../api/asked-request.js";
import type { ServedMedia } from "../serving/worker-messages.js";
import { parseBase64, parseDataUrl } from "./data-url.js";
import type { ReadLocalMedia } from "./local-media.js";
import type { FetchMedia } from "./remote-media.js";
import type { UploadStore } from "./upload-store.js";

export type MediaResolverOptions = {
  readonly fetchMedia: FetchMedia;
  readonly readLocal: ReadLocalMedia;
  readonly uploads: UploadStore;
  /** Most media of one request. */
  readonly maxMedia: number;
  /** Most bytes of one medium. */
  readonly maxBytes: number;
  /** Most bytes of all media of a request. */
  readonly maxTotalBytes: number;
  readonly imageTimeoutMs: number;
  readonly videoTimeoutMs: number;
};

/** The media of a request as they go to a model; `release` takes their files away. */
export type ResolvedMedia = {
  readonly media: readonly ServedMedia[];
  release(): Promise<void>;
};

export type MediaResolver = {
  /** Gets the bytes of all media. Whoever asks sees the uploads of their own `scope` only. */
  resolve(
    parts: readonly MediaPart[],
    asker: { readonly scope: string; readonly signal: AbortSignal },
  ): Promise<ResolvedMedia>;
  close(): Promise<void>;
};

const tooLarge = (rule: string, param?: string): ApiError =>
  new ApiError(413, rule, {
    type: "invalid_request_error",
    code: "limit_exceeded",
    ...(param !== undefined && { param }),
  });

export const createMediaResolver = (options: MediaResolverOptions): MediaResolver => {
  const { uploads, maxBytes } = options;
  let folder: Promise<string> | undefined;

  const readSource = async (
    { source, kind, param }: MediaPart,
    { scope, signal }: { readonly scope: string; readonly signal: AbortSignal },
  ): Promise<Uint8Array> => {
    if (source.type === "base64") return parseBase64(source.data, param);
    if (source.type === "upload" || source.type === "uuid") {
      const id = source.type === "upload" ? source.id : uuidKey(source.uuid);
      const held = uploads.get(scope, id);
      if (held !== undefined) return held.data;
      throw invalidRequest(
        source.type === "upload"
          ? `There is no upload "${source.id}".`
          : `No medium is known by the uuid "${source.uuid}" (any more); send it again.`,
        "media_not_found",
        param,
      );
    }
    const { url } = source;
    if (/^data:/i.test(url)) return parseDataUrl(url, param);
    if (/^file:/i.test(url)) return options.readLocal(url, param);
    const timeoutMs = kind === "image" ? options.imageTimeoutMs : options.videoTimeoutMs;
    return options.fetchMedia(url, { timeoutMs, signal, param });
  };

  const asVideo = async (bytes: Uint8Array, { param }: MediaPart): Promise<string> => {
    // What is handed to a video decoder is a container of pictures, never a list of other addresses.
    if (!mayMove(bytes.subarray(0, startBytes))) {
      throw invalidRequest(
        "The data is no video that is known here (MP4, WebM, Matroska, AVI, Ogg, FLV, MPEG, GIF, WebP).",
        "invalid_video",
        param,
      );
    }
    folder ??= mkdtemp(join(tmpdir(), "saccade-media-"));
    const path = join(await folder, randomUUID());
    await writeFile(path, bytes, { flag: "wx", mode: 0o600 });
    return path;
  };

  const resolve: MediaResolver["resolve"] = async (parts, asker) => {
    if (parts.length > options.maxMedia) {
      throw tooLarge(
        `A request may have ${options.maxMedia} images and videos, got ${parts.length}.`,
      );
    }
    const media: ServedMedia[] = [];
    const release = async (): Promise<void> => {
      for (const item of media) if (item.kind === "video") await rm(item.path, { force: true });
    };
    let totalBytes = 0;
    try {
      for (const part of parts) {
        const { param, look, sampling } = part;
        const bytes = await readSource(part, asker);
        asker.signal.throwIfAborted();
        totalBytes += bytes.byteLength;
        if (bytes.byteLength > maxBytes) {
          throw tooLarge(`A medium may have ${maxBytes} bytes, got ${bytes.byteLength}.`, param);
        }
        if (totalBytes > options.maxTotalBytes) {
          throw tooLarge(
            `The media of a request may have ${options.maxTotalBytes} bytes together.`,
            param,
          );
        }
        if (part.uuid !== undefined) {
          const named = { filename: part.uuid, purpose: "vision", id: uuidKey(part.uuid) };
          uploads.add(asker.scope, bytes, named);
        }
        const isVideo = part.kind === "video" || (part.kind === "any" && isVideoStart(bytes));
        media.push(
          isVideo
            ? { kind: "video", path: await asVideo(bytes, part), look, sampling, param }
            : { kind: "image", bytes, look, param },
        );
      }
      return { media, release };
    } catch (error) {
      await release();
      throw error;
    }
  };

  return {
    resolve,
    close: async () => {
      if (folder !== undefined) await rm(await folder, { recursive: true, force: true });
    },
  };
};

/** Names that clients choose are kept apart from the ids of uploads. */
const uuidKey = (uuid: string): string => `uuid ${uuid}`;
