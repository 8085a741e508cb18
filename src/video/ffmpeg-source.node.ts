import { type ChildProcessByStdio, execFile, spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { z } from "zod";
import { VideoDecodeError } from "../errors.js";
import { checkArea, type RgbImage } from "../image/image.js";
import { checkIndices, missingFrameError, type VideoSource } from "./video-source.js";

/** Frame numbers in one filter expression: its text stays far below what a command line may hold. */
const maxRanges = 1500;

/** Files only: a playlist must not make ffmpeg open network addresses. */
const inputOptions = ["-protocol_whitelist", "file"];

const probeSchema = z.object({
  streams: z.array(
    z.object({
      width: z.int().positive(),
      height: z.int().positive(),
      avg_frame_rate: z.string(),
      duration: z.coerce.number().optional(),
      side_data_list: z.array(z.object({ rotation: z.number().optional() })).optional(),
    }),
  ),
  packets: z.array(z.object({ flags: z.string() })).optional(),
  format: z.object({ duration: z.coerce.number().optional() }).optional(),
});

/** Runs a program to its end; resolves to what it prints, or undefined if it is not installed. */
const run = (program: string, options: readonly string[], name: string) =>
  new Promise<string | undefined>((resolve, reject) => {
    execFile(program, options, { maxBuffer: 2 ** 30 }, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      if (error.code === "ENOENT") return resolve(undefined);
      const reason = stderr.trim().split("\n").at(-1) || error.message;
      const message = `openVideo: ${name} is a readable video, got ${reason}. Check that it plays.`;
      reject(new VideoDecodeError(message, { cause: error }));
    });
  });

/** `30000/1001` as a number; 0 if the file does not say. */
const parseRate = (text: string): number => {
  const [over, under = 1] = text.split("/").map(Number);
  return over > 0 && under > 0 ? over / under : 0;
};

/** Sorted numbers as ranges of neighbours. */
const toRanges = (indices: readonly number[]): [number, number][] => {
  const ranges: [number, number][] = [];
  for (const index of indices) {
    const last = ranges.at(-1);
    if (last && index <= last[1] + 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return ranges;
};

/** An expression in n, the frame number, that is 1 inside the ranges; its depth is logarithmic. */
const createFilter = (ranges: readonly [number, number][]): string => {
  if (ranges.length === 1) return `between(n,${ranges[0][0]},${ranges[0][1]})`;
  const half = ranges.length >> 1;
  const [left, right] = [ranges.slice(0, half), ranges.slice(half)];
  return `if(lt(n,${right[0][0]}),${createFilter(left)},${createFilter(right)})`;
};

/** Pieces of `frameBytes` from a stream of any chunks. */
async function* readPieces(stream: Readable, frameBytes: number): AsyncGenerator<Uint8Array> {
  let piece = new Uint8Array(frameBytes);
  let filled = 0;
  for await (const chunk of stream as AsyncIterable<Uint8Array>) {
    for (let offset = 0; offset < chunk.length; ) {
      const part = chunk.subarray(offset, offset + frameBytes - filled);
      piece.set(part, filled);
      filled += part.length;
      offset += part.length;
      if (filled < frameBytes) continue;
      yield piece;
      piece = new Uint8Array(frameBytes);
      filled = 0;
    }
  }
}

type Facts = Pick<VideoSource, "frameCount" | "width" | "height">;

/** Distinct frames `ranges` of a file, in order. */
async function* readRanges(
  path: string,
  ranges: readonly [number, number][],
  { width, height }: Facts,
): AsyncGenerator<RgbImage> {
  const numFrames = ranges.reduce((sum, [from, to]) => sum + to - from + 1, 0);
  // The chosen frames get even time stamps at the output's rate, so that no version of ffmpeg drops
  // or repeats any to keep a constant rate.
  const filter = `select='${createFilter(ranges)}',settb=1/25,setpts=N`;
  const output = ["-r", "25", "-frames:v", `${numFrames}`, "-pix_fmt", "rgb24", "-f", "rawvideo"];
  const options = [
    "-nostdin",
    "-v",
    "error",
    ...inputOptions,
    "-i",
    `file:${path}`,
    "-map",
    "0:v:0",
  ];
  const child: ChildProcessByStdio<null, Readable, Readable> = spawn(
    "ffmpeg",
    [...options, "-vf", filter, ...output, "pipe:1"],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  let complaint = "";
  child.stderr.on("data", (text: Uint8Array) => {
    complaint = `${complaint}${text}`.slice(-2000);
  });
  const ended = new Promise<string | undefined>((resolve) => {
    child.on("error", (error) => resolve(error.message));
    child.on("close", (code) => resolve(code === 0 ? undefined : `exit code ${code}`));
  });
  let numRead = 0;
  try {
    for await (const data of readPieces(child.stdout, width * height * 3)) {
      numRead += 1;
      yield { width, height, data };
    }
    const failure = await ended;
    // A damaged end is no matter when all frames asked for came before it.
    if (failure && numRead < numFrames) {
      throw new VideoDecodeError(
        `readFrames: ${path} can be decoded, got ${complaint.trim().split("\n").at(-1) || failure}. ` +
          "Re-encode the video.",
      );
    }
  } finally {
    child.kill("SIGKILL");
  }
}

async function* readFrames(
  path: string,
  indices: readonly number[],
  facts: Facts,
): AsyncGenerator<RgbImage> {
  checkIndices(indices, facts.frameCount);
  const ranges = toRanges(indices);
  let position = 0;
  for (let from = 0; from < ranges.length; from += maxRanges) {
    const some = ranges.slice(from, from + maxRanges);
    for await (const image of readRanges(path, some, facts)) {
      const index = indices[position];
      for (; indices[position] === index; position++) yield image;
    }
    const next = ranges[from + some.length]?.[0] ?? Infinity;
    if (position < indices.length && indices[position] < next) {
      throw missingFrameError(path, indices[position], facts.frameCount);
    }
  }
}

/**
 * Opens a video with the `ffmpeg` and `ffprobe` on the PATH: every format that they know. Returns
 * undefined if they are not installed. Colours come through ffmpeg's own conversion, frames upright.
 *
 * Throws VideoDecodeError for a file that they cannot read, LimitError for frames above `maxPixels`.
 */
export const openWithFfmpeg = async (
  path: string,
  maxPixels?: number,
): Promise<VideoSource | undefined> => {
  const entries =
    "stream=width,height,avg_frame_rate,duration:stream_side_data=rotation:format=duration:packet=flags";
  const options = [
    "-v",
    "error",
    ...inputOptions,
    "-select_streams",
    "v:0",
    "-show_entries",
    entries,
  ];
  const json = await run("ffprobe", [...options, "-of", "json", `file:${path}`], path);
  if (json === undefined) return undefined;
  if ((await run("ffmpeg", ["-version"], path)) === undefined) return undefined;
  const probe = probeSchema.safeParse(JSON.parse(json));
  const stream = probe.data?.streams[0];
  // Packets flagged D are decoded because others need them, and not shown.
  const frameCount = (probe.data?.packets ?? []).filter(({ flags }) => !flags.includes("D")).length;
  if (!stream || frameCount === 0) {
    throw new VideoDecodeError(
      `openVideo: ${path} holds a video track with frames, got ` +
        `${stream ? "a track without frames" : "none"}. Check that it plays.`,
    );
  }
  const rotation =
    stream.side_data_list?.find((data) => data.rotation !== undefined)?.rotation ?? 0;
  const isTurned = Math.abs(Math.round(rotation)) % 180 === 90;
  const width = isTurned ? stream.height : stream.width;
  const height = isTurned ? stream.width : stream.height;
  checkArea(`openVideo(${path})`, { width, height }, maxPixels);
  const rate = parseRate(stream.avg_frame_rate);
  const duration =
    stream.duration ?? probe.data?.format?.duration ?? (rate > 0 ? frameCount / rate : 0);
  const facts = { frameCount, width, height };
  return {
    decoder: "ffmpeg",
    ...facts,
    frameRate: rate > 0 ? rate : duration > 0 ? frameCount / duration : 0,
    durationSeconds: duration,
    skippedFiles: [],
    readFrames: (indices) => readFrames(path, indices, facts),
    close: async () => {},
  };
};
