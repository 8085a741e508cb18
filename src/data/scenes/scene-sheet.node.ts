/** A contact sheet of scenes with their questions and answers, drawn straight from their keys. */
import { createImage, type RgbImage } from "../../image/image.js";
import { type ContactSheetOptions, createContactSheet } from "./contact-sheet.node.js";
import { describeScene } from "./descriptions.js";
import { type QuestionOptions, questionsFor } from "./questions/index.js";
import type { SceneKind } from "./random.js";
import { createSceneRenderer } from "./render.node.js";
import { type SceneOptions, sampleScene } from "./sample.js";

export type SceneSheetOptions = Omit<SceneOptions, "kind" | "index"> &
  QuestionOptions &
  Pick<ContactSheetOptions, "numColumns"> & {
    /** Scenes on the sheet. */
    readonly count: number;
    /** Index of the first; default 0. */
    readonly first?: number;
    /** Kinds in turns, as `writeScenes` takes them; default only `simple`. */
    readonly kinds?: readonly SceneKind[];
    /** Height at which scenes are drawn, which is what a model would see; default 336. */
    readonly heightPx?: number;
    /** Whether descriptions stand under the images, too; default false. */
    readonly hasDescriptions?: boolean;
  };

const framesPerRow = 4;

/** Frames row by row, four side by side, as one image. */
const joinFrames = (frames: readonly RgbImage[]): RgbImage => {
  const [{ width, height }] = frames;
  if (frames.length === 1) return frames[0];
  // Frames of one background would run into each other.
  const gap = Math.max(2, Math.round(height / 40));
  const numRows = Math.ceil(frames.length / framesPerRow);
  const size = {
    width: (width + gap) * framesPerRow - gap,
    height: (height + gap) * numRows - gap,
  };
  const joined = createImage(size, [255, 255, 255]);
  for (const [at, frame] of frames.entries()) {
    const left = (at % framesPerRow) * (width + gap);
    const top = Math.floor(at / framesPerRow) * (height + gap);
    for (let y = 0; y < height; y++) {
      const row = frame.data.subarray(y * width * 3, (y + 1) * width * 3);
      joined.data.set(row, ((top + y) * joined.width + left) * 3);
    }
  }
  return joined;
};

/**
 * A PNG of `count` scenes with their questions and answers.
 * Throws as `sampleScene`, `questionsFor` and the renderer do.
 */
export const createSceneSheet = async (options: SceneSheetOptions): Promise<Uint8Array> => {
  const { count, first = 0, kinds = ["simple"], heightPx = 336, hasDescriptions } = options;
  const renderer = await createSceneRenderer();
  const entries: { image: RgbImage; captions: string[] }[] = [];
  for (let index = first; index < first + count; index++) {
    const scene = sampleScene({ ...options, index, kind: kinds[index % kinds.length] });
    const questions = questionsFor(scene, options).map(
      ({ question, answer }) => `${question} → ${answer}`,
    );
    const captions = hasDescriptions
      ? [describeScene(scene, options.variant), ...questions]
      : questions;
    entries.push({ image: joinFrames(await renderer.renderFrames(scene, heightPx)), captions });
  }
  return createContactSheet(entries, { numColumns: options.numColumns });
};
