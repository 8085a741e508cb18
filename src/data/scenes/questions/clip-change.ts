/** Clips in which one object changes: what happens to it, and which one it is. */
import { type Actor, type ClipEvent, type ClipScene, clipEvents } from "../scene.js";
import { createFamily } from "./question.js";

/** What an actor does, from where it is seen and how long it is. */
export const eventOf = ({ extents, frames }: Actor, numFrames: number): ClipEvent | undefined => {
  if (extents[1] > extents[0]) return "grows";
  if (extents[1] < extents[0]) return "shrinks";
  if (frames[0] > 0) return "appears";
  return frames[1] < numFrames - 1 ? "disappears" : undefined;
};

const changingActor = ({ story, actors, numFrames }: ClipScene) => {
  const actor = actors.find((one) => eventOf(one, numFrames) !== undefined);
  const event = actor && eventOf(actor, numFrames);
  return story === "change" && event ? { name: actor.name, event } : undefined;
};

/** Share of the questions about an object to which nothing happens, where there is one. */
const stillShare = 0.2;

export const clipEvent = createFamily("clip-event", "medium", "clip", (scene, random) => {
  const change = changingActor(scene);
  if (change === undefined) return undefined;
  const still = scene.actors.filter(({ name }) => name !== change.name);
  const isStill = still.length > 0 && random.chance(stillShare);
  const name = isStill ? random.pick(still).name : change.name;
  return {
    question: `What happens to the ${name}?`,
    answer: isStill ? "nothing" : `it ${change.event}`,
  };
});

export const clipActor = createFamily("clip-actor", "medium", "clip", (scene) => {
  const change = changingActor(scene);
  if (change === undefined || !clipEvents.includes(change.event)) return undefined;
  return { question: `Which object ${change.event}?`, answer: change.name };
});
