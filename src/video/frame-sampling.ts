import { LimitError, OptionsError, VideoDecodeError } from "../errors.js";
import { roundHalfEven } from "../image/round-half-even.js";

/** Which frames of a video the model sees. */
export type FrameSamplingOptions = {
  /**
   * - `per-second` (default): floor(frames / frame rate) frames, about one a second, as the released
   *   LLaVA-Mini samples at inference;
   * - `uniform`: `numFrames` spread over the clip, or all if it has fewer, as its training does (8);
   * - `all`: every frame, as it reads folders of frames.
   */
  readonly rule?: "per-second" | "uniform" | "all";
  /** For `per-second`: frames of each second; default 1, as in the released code. */
  readonly framesPerSecond?: number;
  /** For `uniform`: how many frames. */
  readonly numFrames?: number;
  /**
   * `per-second` with a clip shorter than one second: `one-frame` (default) takes the middle frame;
   * `compat` fails, where the released code divides by zero.
   */
  readonly shortClip?: "one-frame" | "compat";
  /** Most frames to take. Default 1000, as in the released MVBench and MLVU scripts; Infinity: no cap. */
  readonly maxFrames?: number;
  /**
   * When the rule asks for more than `maxFrames`: `spread` (default) takes `maxFrames` frames over the
   * whole clip and says so in the plan; `refuse` throws.
   */
  readonly overCap?: "spread" | "refuse";
};

export type FramePlan = {
  /** Frame numbers from 0, never decreasing; one may occur twice in short clips, as in the reference. */
  readonly indices: readonly number[];
  /** How many frames the video has. */
  readonly frameCount: number;
  /** How many frames the rule asks for; more than `indices` has if the cap cut it. */
  readonly numWanted: number;
  readonly isCapped: boolean;
};

export const defaultMaxFrames = 1000;

/**
 * `count` frames spread over `frameCount`: the middle of `count` equal segments, with the rounding of
 * the released code (`get_seq_frames`). Throws OptionsError for counts that are no whole numbers >= 1.
 */
export const spreadFrames = (frameCount: number, count: number): number[] => {
  for (const [name, value] of Object.entries({ frameCount, count })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    throw new OptionsError(
      `spreadFrames: ${name} is a whole number of at least 1, got ${value}. Count frames first.`,
    );
  }
  const segment = (frameCount - 1) / count;
  return Array.from({ length: count }, (_, i) =>
    Math.floor((roundHalfEven(segment * i) + roundHalfEven(segment * (i + 1))) / 2),
  );
};

const countWanted = (
  { frameCount, frameRate }: { readonly frameCount: number; readonly frameRate: number },
  {
    rule = "per-second",
    framesPerSecond = 1,
    numFrames,
    shortClip = "one-frame",
  }: FrameSamplingOptions,
): number => {
  if (rule === "all") return frameCount;
  if (rule === "uniform") {
    if (numFrames !== undefined && Number.isSafeInteger(numFrames) && numFrames >= 1) {
      return Math.min(numFrames, frameCount);
    }
    throw new OptionsError(
      `planFrames: numFrames is a whole number of at least 1, got ${numFrames}. The released ` +
        "training uses 8.",
    );
  }
  if (!(frameRate > 0 && Number.isFinite(frameRate))) {
    throw new VideoDecodeError(
      `planFrames: sampling per second needs a frame rate above 0, got ${frameRate}. Use the rule ` +
        "`uniform`, or re-encode the video at a constant frame rate.",
    );
  }
  if (!(framesPerSecond > 0 && Number.isFinite(framesPerSecond))) {
    throw new OptionsError(
      `planFrames: framesPerSecond is above 0, got ${framesPerSecond}. Leave it out for 1.`,
    );
  }
  // A frame rate that was made from a duration must give that duration back, not a hair less.
  const perSecond = Math.floor((frameCount / frameRate) * framesPerSecond * (1 + 1e-9));
  if (perSecond >= 1) return Math.min(perSecond, Math.max(frameCount, 1));
  if (shortClip === "one-frame") return 1;
  throw new VideoDecodeError(
    `planFrames: with shortClip compat a clip lasts at least 1 second, got ${frameCount} frames at ` +
      `${frameRate} per second. Use one-frame, or the rule uniform.`,
  );
};

/**
 * Chooses the frames of a video, without decoding. Source: `load_video` and `get_seq_frames` of
 * LLaVA-Mini's released code (arXiv 2501.03895).
 *
 * Throws OptionsError for counts below 1, VideoDecodeError for a video without frames or without a
 * frame rate, LimitError over the cap with `overCap: "refuse"`.
 */
export const planFrames = (
  video: { readonly frameCount: number; readonly frameRate: number },
  options: FrameSamplingOptions = {},
): FramePlan => {
  const { frameCount } = video;
  const { rule, maxFrames = defaultMaxFrames, overCap = "spread" } = options;
  if (!(Number.isSafeInteger(frameCount) && frameCount >= 1)) {
    throw new VideoDecodeError(
      `planFrames: a video has at least one frame, got ${frameCount}. Check that the file plays.`,
    );
  }
  if (!(maxFrames >= 1) || !(Number.isInteger(maxFrames) || maxFrames === Infinity)) {
    throw new OptionsError(
      `planFrames: maxFrames is a whole number of at least 1 or Infinity, got ${maxFrames}. ` +
        `Leave it out for ${defaultMaxFrames}.`,
    );
  }
  const numWanted = countWanted(video, options);
  const isCapped = numWanted > maxFrames;
  if (isCapped && overCap === "refuse") {
    throw new LimitError(
      `planFrames: at most ${maxFrames} frames, got ${numWanted} of ${frameCount}. Raise maxFrames, ` +
        "cut the video, or set overCap to spread.",
    );
  }
  const indices =
    rule === "all" && !isCapped
      ? Array.from({ length: frameCount }, (_, index) => index)
      : spreadFrames(frameCount, Math.min(numWanted, maxFrames));
  return { indices, frameCount, numWanted, isCapped };
};
