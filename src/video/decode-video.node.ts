import { stat } from "node:fs/promises";
import { LimitError, VideoDecodeError } from "../errors.js";
import { isAnimation, openAnimation } from "./animation-source.node.js";
import { openWithFfmpeg } from "./ffmpeg-source.node.js";
import { openFolder } from "./folder-source.node.js";
import type { VideoSource } from "./video-source.js";
import { openTrack, type VideoCodecs } from "./video-track.js";

export type OpenVideoOptions = {
  /**
   * `auto` (default): WebCodecs if the optional package `@napi-rs/webcodecs` is installed and knows the
   * file, else `ffmpeg` from the PATH. The source returned says which one it was.
   */
  readonly decoder?: "auto" | "webcodecs" | "ffmpeg";
  /** Frame rate of a folder of frames. Default 3. */
  readonly framesPerSecond?: number;
  /** Largest frame in pixels. Default: that of images. */
  readonly maxPixels?: number;
};

/** The optional package, or why it cannot be used. Its types are those of the browser. */
const loadCodecs = async (): Promise<VideoCodecs | Error> => {
  const specifier: string = "@napi-rs/webcodecs";
  try {
    const loaded = (await import(specifier)) as Partial<VideoCodecs>;
    const { VideoDecoder, EncodedVideoChunk } = loaded;
    if (VideoDecoder && EncodedVideoChunk) return { VideoDecoder, EncodedVideoChunk };
    return new Error(`${specifier} has no VideoDecoder`);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
};

/** Opened by WebCodecs, or why it is not. A file above the limits is refused at once. */
const tryWebCodecs = async (path: string, maxPixels?: number): Promise<VideoSource | Error> => {
  const codecs = await loadCodecs();
  if (codecs instanceof Error) return codecs;
  const { FilePathSource } = await import("mediabunny");
  try {
    return await openTrack(new FilePathSource(path), path, codecs, { maxPixels });
  } catch (error) {
    if (error instanceof LimitError || !(error instanceof Error)) throw error;
    return error;
  }
};

const firstLine = (error: Error): string => error.message.split("\n")[0];

const openFile = async (path: string, options: OpenVideoOptions): Promise<VideoSource> => {
  const { decoder = "auto", maxPixels } = options;
  let reason = "";
  if (decoder !== "ffmpeg") {
    const opened = await tryWebCodecs(path, maxPixels);
    if (!(opened instanceof Error)) return opened;
    if (opened instanceof VideoDecodeError && decoder === "webcodecs") throw opened;
    reason = `WebCodecs: ${firstLine(opened)}`;
  }
  if (decoder !== "webcodecs") {
    const opened = await openWithFfmpeg(path, maxPixels);
    if (opened) return opened;
    reason += `${reason && "; "}ffmpeg and ffprobe are not on the PATH`;
  }
  throw new VideoDecodeError(
    `openVideo: ${path} needs a video decoder, got none (${reason}). ` +
      `${decoder === "webcodecs" ? "" : "Install ffmpeg, or "}run \`npm install @napi-rs/webcodecs\`.`,
  );
};

/**
 * Opens a video file, an animated GIF or WebP, or a folder of frames. Nothing is decoded before
 * `readFrames`, frames are read from the start and one at a time in constant memory.
 *
 * Throws VideoDecodeError for what cannot be read or when no decoder is installed, LimitError for
 * frames above `maxPixels`.
 */
export const openVideo = async (
  path: string,
  options: OpenVideoOptions = {},
): Promise<VideoSource> => {
  const { framesPerSecond, maxPixels } = options;
  const stats = await stat(path).catch((error: Error) => error);
  if (stats instanceof Error || !(stats.isFile() || stats.isDirectory())) {
    const found = stats instanceof Error ? stats.message : "something else";
    throw new VideoDecodeError(
      `openVideo: ${path} is a file or folder that can be read, got ${found}. Check the path.`,
    );
  }
  if (stats.isDirectory()) {
    return await openFolder(path, framesPerSecond, maxPixels === undefined ? {} : { maxPixels });
  }
  if (await isAnimation(path)) return await openAnimation(path, maxPixels);
  return await openFile(path, options);
};
