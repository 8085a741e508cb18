/** From a scene to the marks that show it. Pure: a renderer only has to draw them in order. */
import { OptionsError } from "../../errors.js";
import { layOutBackground } from "./layout-background.js";
import { layOutGrid, markThing } from "./layout-grid.js";
import { layOutPanels } from "./layout-panels.js";
import { layOutChart, layOutReceipt, layOutTable } from "./layout-paper.js";
import type { Mark } from "./mark.js";
import type { Actor, ClipScene, DetailScene, Scene } from "./scene.js";

/** Where an actor is and how long it is in `frame`, undefined while it is not seen. */
export const actorAt = (actor: Actor, frame: number, numFrames: number) => {
  if (frame < actor.frames[0] || frame > actor.frames[1]) return undefined;
  const share = frame / (numFrames - 1);
  const between = (first: number, last: number) => first + (last - first) * share;
  return {
    x: between(actor.from[0], actor.to[0]),
    y: between(actor.from[1], actor.to[1]),
    extent: between(actor.extents[0], actor.extents[1]),
  };
};

const layOutFrame = ({ actors, numFrames, aspect, shade }: ClipScene, frame: number): Mark[] =>
  actors.flatMap((actor) => {
    const place = actorAt(actor, frame, numFrames);
    if (place === undefined) return [];
    const extent = place.extent * Math.min(1, aspect);
    return [markThing(actor, [place.x * aspect, place.y], extent, actor.isFlipped, shade)];
  });

const layOutDetail = ({ content, aspect, shade }: DetailScene): Mark[] => {
  switch (content.type) {
    case "labels":
      return layOutGrid(content.grid, aspect, shade);
    case "cards":
    case "signs":
      return layOutPanels(content, aspect, shade);
    case "receipt":
      return layOutReceipt(content, aspect);
    case "table":
      return layOutTable(content, aspect);
    case "chart":
      return layOutChart(content, aspect, shade);
  }
};

/** Frames of a scene: 1 unless it is a clip. */
export const numFramesOf = (scene: Scene): number => (scene.kind === "clip" ? scene.numFrames : 1);

/**
 * The marks of a scene, background first; `frame` is the frame of a clip.
 * Throws OptionsError for a frame that the scene has not.
 */
export const layOutScene = (scene: Scene, frame = 0): Mark[] => {
  if (!Number.isInteger(frame) || frame < 0 || frame >= numFramesOf(scene)) {
    throw new OptionsError(
      `layOutScene: frame is a whole number from 0 to ${numFramesOf(scene) - 1}, got ${frame}. Only clips have more than frame 0.`,
    );
  }
  const background = layOutBackground(scene.background, scene.aspect);
  switch (scene.kind) {
    case "simple":
      return [...background, ...layOutGrid(scene.grid, scene.aspect, scene.shade)];
    case "detail":
      return [...background, ...layOutDetail(scene)];
    case "clip":
      return [...background, ...layOutFrame(scene, frame)];
  }
};
