import { readFileSync } from "node:fs";
import { BlobSource } from "mediabunny";
import { describe, expect, it } from "vitest";
import { VideoDecodeError } from "../../src/errors.js";
import { openTrack, type VideoCodecs } from "../../src/video/video-track.js";
import { fixturePath } from "../support/recorded-preprocessing.js";

type Behaviour = {
  /** What the decoder does with the chunk of this number; default: shows a frame of that level. */
  readonly onChunk?: (chunk: number, show: () => void, fail: (error: Error) => void) => void;
  readonly isSupported?: boolean;
  readonly flush?: () => Promise<void>;
};

/** A decoder with the interface of WebCodecs; frame k is one colour, level k, with a false time stamp. */
const createCodecs = ({ onChunk, isSupported = true, flush }: Behaviour = {}) => {
  const open = new Set<number>();
  class Decoder {
    static isConfigSupported = async () => ({ supported: isSupported });
    state = "unconfigured";
    decodeQueueSize = 0;
    numChunks = 0;
    numFrames = 0;
    constructor(
      readonly callbacks: { output: (frame: unknown) => void; error: (error: Error) => void },
    ) {}
    configure() {
      this.state = "configured";
    }
    decode() {
      const chunk = this.numChunks++;
      this.decodeQueueSize += 1;
      const show = () => {
        this.decodeQueueSize -= 1;
        const level = this.numFrames++;
        open.add(level);
        this.callbacks.output({
          timestamp: 1e6 - level,
          codedWidth: 2,
          codedHeight: 1,
          visibleRect: null,
          copyTo: async (target: Uint8Array) => target.fill(level),
          close: () => open.delete(level),
        });
      };
      const run = onChunk ?? ((_: number, frame: () => void) => frame());
      setTimeout(() => run(chunk, show, this.callbacks.error), 0);
    }
    flush = flush ?? (() => new Promise<void>((resolve) => setTimeout(resolve, 20)));
    close() {
      this.state = "closed";
    }
  }
  class Chunk {}
  const codecs = { VideoDecoder: Decoder, EncodedVideoChunk: Chunk } as unknown as VideoCodecs;
  return { codecs, open };
};

const openClip = (codecs: VideoCodecs, options?: Parameters<typeof openTrack>[3]) => {
  const file = new Blob([readFileSync(fixturePath("video/clip.mp4"))]);
  return openTrack(new BlobSource(file), "clip", codecs, options);
};

const readLevels = async (codecs: VideoCodecs, indices: number[], stallMs = 200) => {
  const source = await openClip(codecs, { stallMs });
  const levels: number[] = [];
  for await (const { data } of source.readFrames(indices)) levels.push(data[0]);
  await source.close();
  return levels;
};

describe("frames from a decoder with the interface of WebCodecs", () => {
  it("are counted in the order in which they come, whatever their time stamps say", async () => {
    const { codecs, open } = createCodecs();
    expect(await readLevels(codecs, [0, 4, 4, 11])).toEqual([0, 4, 4, 11]);
    expect(open.size).toBe(0);
  });

  it("are all closed when the reader leaves early", async () => {
    const { codecs, open } = createCodecs();
    const source = await openClip(codecs);
    for await (const _ of source.readFrames([0, 1, 2, 3])) break;
    expect(open.size).toBe(0);
    await source.close();
  });

  it("that are fewer than promised are an error", async () => {
    const { codecs } = createCodecs({ onChunk: (chunk, show) => chunk < 10 && show() });
    expect(await readLevels(codecs, [9])).toEqual([9]);
    await expect(readLevels(codecs, [11])).rejects.toThrow(/promises, got no frame 11/);
  });

  it.each([
    ["a decoder that shows nothing", { onChunk: () => {} }],
    ["one that stops in the middle", { onChunk: (chunk, show) => chunk < 3 && show() }],
    ["one that never flushes", { onChunk: () => {}, flush: () => new Promise(() => {}) }],
    ["one that fails", { onChunk: (_, __, fail) => fail(new Error("broken stream")) }],
    ["a flush that fails", { onChunk: () => {}, flush: () => Promise.reject(new Error("no")) }],
  ] satisfies [string, Behaviour][])("%s is an error and no endless wait", async (_, behaviour) => {
    const { codecs, open } = createCodecs(behaviour);
    await expect(readLevels(codecs, [11])).rejects.toThrow(VideoDecodeError);
    expect(open.size).toBe(0);
  });

  it("a codec that the decoder does not know is an error", async () => {
    const { codecs } = createCodecs({ isSupported: false });
    await expect(openClip(codecs)).rejects.toThrow(/got avc1\./);
  });
});
