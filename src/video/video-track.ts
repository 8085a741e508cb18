import type { Input, InputVideoTrack, Source } from "mediabunny";
import { SaccadeError, VideoDecodeError } from "../errors.js";
import { checkArea, type RgbImage } from "../image/image.js";
import { rotateImage } from "./rotate.js";
import { checkIndices, missingFrameError, type VideoSource } from "./video-source.js";

/** The part of WebCodecs that we use: a browser's own, or a package's with the same interface. */
export type VideoCodecs = {
  readonly VideoDecoder: typeof VideoDecoder;
  readonly EncodedVideoChunk: typeof EncodedVideoChunk;
};

/** Chunks given to the decoder before we wait for frames. */
const maxQueued = 8;
export type TrackOptions = {
  /** Largest frame in pixels. Default: that of images. */
  readonly maxPixels?: number | undefined;
  /** Without any progress for so long, in milliseconds, the decoder counts as dead. Default 10000. */
  readonly stallMs?: number | undefined;
};

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** RGB [H, W, 3] of a decoded frame, upright; closes the frame. */
const toImage = async (frame: VideoFrame, rotation: number): Promise<RgbImage> => {
  try {
    const width = frame.visibleRect?.width ?? frame.codedWidth;
    const height = frame.visibleRect?.height ?? frame.codedHeight;
    const rgba = new Uint8Array(width * height * 4);
    await frame.copyTo(rgba, { format: "RGBA" });
    const data = new Uint8Array(width * height * 3);
    for (let from = 0, to = 0; from < rgba.length; from += 4) {
      data[to++] = rgba[from];
      data[to++] = rgba[from + 1];
      data[to++] = rgba[from + 2];
    }
    return rotateImage({ width, height, data }, rotation);
  } finally {
    frame.close();
  }
};

/** Runs a decoder over a track from its start and keeps the frames asked for. */
const createFrameReader = (
  codecs: VideoCodecs,
  config: VideoDecoderConfig,
  isWanted: (order: number) => boolean,
  stallMs: number,
) => {
  const frames: VideoFrame[] = [];
  let numFrames = 0;
  let failure: Error | undefined;
  const decoder = new codecs.VideoDecoder({
    // Frames come in the order in which they are shown. Their time stamps are not looked at:
    // @napi-rs/webcodecs 1.3.1 hands them out in decoding order, so with B frames they are wrong.
    output: (frame) => {
      if (isWanted(numFrames)) frames.push(frame);
      else frame.close();
      numFrames += 1;
    },
    error: (error) => {
      failure = error;
    },
  });
  decoder.configure(config);

  /** Waits until `isReady`; a decoder that makes no progress at all is an error and no endless wait. */
  const waitFor = async (isReady: () => boolean) => {
    let last = -1;
    let since = 0;
    // A decoder says "dequeued" before the frame is out, so a short pause is more robust than events.
    for (let waited = 0; !failure && !isReady(); waited += 2) {
      const progress = numFrames - decoder.decodeQueueSize;
      if (progress !== last) since = waited;
      last = progress;
      if (waited - since > stallMs) {
        failure = new Error(`no frame for ${stallMs / 1000} seconds after ${numFrames} frames`);
      }
      await pause(waited === 0 ? 0 : 2);
    }
    if (failure) throw failure;
  };

  return {
    frames,
    decode: async (chunk: EncodedVideoChunk) => {
      if (failure) throw failure;
      decoder.decode(chunk);
      await waitFor(() => decoder.decodeQueueSize < maxQueued);
    },
    flush: async () => {
      let isFlushed = false;
      decoder.flush().then(
        () => {
          isFlushed = true;
        },
        (error: Error) => {
          failure = error;
        },
      );
      await waitFor(() => isFlushed);
    },
    close: () => {
      for (const frame of frames.splice(0)) frame.close();
      if (decoder.state !== "closed") decoder.close();
    },
  };
};

type Track = {
  readonly name: string;
  readonly frameCount: number;
  /** Frames that are decoded before time 0 and not shown. */
  readonly numHidden: number;
  readonly rotation: number;
  readonly stallMs: number;
};

async function* readTrack(
  track: InputVideoTrack,
  config: VideoDecoderConfig,
  codecs: VideoCodecs,
  indices: readonly number[],
  { name, frameCount, numHidden, rotation, stallMs }: Track,
): AsyncGenerator<RgbImage> {
  checkIndices(indices, frameCount);
  if (indices.length === 0) return;
  const { EncodedPacketSink } = await import("mediabunny");
  const wanted = new Set(indices);
  const isWanted = (order: number) => wanted.has(order - numHidden);
  const reader = createFrameReader(codecs, config, isWanted, stallMs);
  let position = 0;
  async function* drain(): AsyncGenerator<RgbImage> {
    for (let frame = reader.frames.shift(); frame; frame = reader.frames.shift()) {
      const image = await toImage(frame, rotation);
      const index = indices[position];
      for (; indices[position] === index; position++) yield image;
    }
  }
  try {
    // Always from the start: frame numbers are counted, which seeking would make a guess.
    for await (const packet of new EncodedPacketSink(track).packets()) {
      const timestamp = Math.round(packet.timestamp * 1e6);
      await reader.decode(
        new codecs.EncodedVideoChunk({ type: packet.type, timestamp, data: packet.data.slice() }),
      );
      yield* drain();
      if (position === indices.length) return;
    }
    await reader.flush();
    yield* drain();
    if (position < indices.length) {
      throw missingFrameError(name, indices[position], frameCount);
    }
  } catch (error) {
    if (error instanceof VideoDecodeError) throw error;
    throw new VideoDecodeError(
      `readFrames: ${name} can be decoded, got ${error instanceof Error ? error.message : error}. ` +
        "Re-encode it, or use another decoder.",
      { cause: error },
    );
  } finally {
    reader.close();
  }
}

const openInput = async (
  input: Input,
  name: string,
  codecs: VideoCodecs,
  maxPixels?: number | undefined,
) => {
  const { EncodedPacketSink } = await import("mediabunny");
  const track = await input.getPrimaryVideoTrack();
  const found = await track?.getDecoderConfig();
  if (!track || !found) {
    throw new VideoDecodeError(
      `openVideo: ${name} holds a video track in a codec that we know, got ` +
        `${track ? "an unknown codec" : "no video track"}. Convert it to an H.264 MP4.`,
    );
  }
  const { codec, description, codedWidth, codedHeight } = found;
  // Only what decoding needs: the colour space is in the stream, and given twice may be refused.
  const config: VideoDecoderConfig = {
    codec,
    ...(codedWidth && { codedWidth }),
    ...(codedHeight && { codedHeight }),
    ...(description && { description }),
  };
  const { supported } = await codecs.VideoDecoder.isConfigSupported(config);
  if (!supported) {
    throw new VideoDecodeError(
      `openVideo: the decoder knows the codec of ${name}, got ${codec}. Convert it to H.264.`,
    );
  }
  const rotation = await track.getRotation();
  const stored = { width: await track.getCodedWidth(), height: await track.getCodedHeight() };
  const isTurned = rotation % 180 === 90;
  const width = isTurned ? stored.height : stored.width;
  const height = isTurned ? stored.width : stored.height;
  checkArea(`openVideo(${name})`, { width, height }, maxPixels);
  let frameCount = 0;
  let numHidden = 0;
  let end = 0;
  const sink = new EncodedPacketSink(track);
  for await (const packet of sink.packets(undefined, undefined, { metadataOnly: true })) {
    // Packets before time 0 are decoded, because others need them, and not shown.
    if (packet.timestamp > -1e-6) frameCount += 1;
    else numHidden += 1;
    end = Math.max(end, packet.timestamp + packet.duration);
  }
  const first = await track.getFirstTimestamp();
  // Whole microseconds: sums of fractions of a second must not make 6 seconds 5.999999999.
  const durationSeconds = Math.round((end - Math.max(0, first)) * 1e6) / 1e6;
  const frameRate = durationSeconds > 0 ? frameCount / durationSeconds : 0;
  const facts = { width, height, frameCount, durationSeconds, frameRate };
  return { track, config, rotation, numHidden, facts };
};

/**
 * Opens the first video track of an MP4, MOV, WebM or Matroska file: read by mediabunny, decoded by
 * `codecs`. The decoder is driven here and not by mediabunny's VideoSampleSink, which was seen to
 * wait for ever on @napi-rs/webcodecs 1.3.1 (600 frames of H.264, whether frames were closed or not).
 *
 * Throws VideoDecodeError for a file without a readable video track, LimitError for frames above
 * `maxPixels`.
 */
export const openTrack = async (
  source: Source,
  name: string,
  codecs: VideoCodecs,
  { maxPixels, stallMs = 10_000 }: TrackOptions = {},
): Promise<VideoSource> => {
  const { ALL_FORMATS, Input } = await import("mediabunny");
  const input = new Input({ formats: ALL_FORMATS, source });
  try {
    const opened = await openInput(input, name, codecs, maxPixels);
    const { track, config, rotation, numHidden, facts } = opened;
    const { frameCount } = facts;
    if (frameCount === 0) {
      throw new VideoDecodeError(
        `openVideo: ${name} has at least one frame, got 0. Record it again.`,
      );
    }
    return {
      decoder: "webcodecs",
      ...facts,
      skippedFiles: [],
      readFrames: (indices) =>
        readTrack(track, config, codecs, indices, {
          name,
          frameCount,
          numHidden,
          rotation,
          stallMs,
        }),
      close: async () => input.dispose(),
    };
  } catch (error) {
    input.dispose();
    if (error instanceof SaccadeError) throw error;
    throw new VideoDecodeError(
      `openVideo: ${name} is an MP4, MOV, WebM, Matroska or MPEG-TS file, got ` +
        `${error instanceof Error ? error.message : error} Convert it to an H.264 MP4.`,
      { cause: error },
    );
  }
};
