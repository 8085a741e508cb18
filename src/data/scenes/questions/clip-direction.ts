/** Which way something moves, in a clip in which everything moves along lines. */
import type { Actor, Direction } from "../scene.js";
import { createFamily } from "./question.js";

export const directionOf = ({ from, to }: Actor): Direction => {
  if (from[0] !== to[0]) return to[0] > from[0] ? "right" : "left";
  return to[1] > from[1] ? "down" : "up";
};

export const clipDirection = createFamily(
  "clip-direction",
  "medium",
  "clip",
  ({ story, actors }, random) => {
    if (story !== "move") return undefined;
    const actor = random.pick(actors);
    return { question: `Which way does the ${actor.name} move?`, answer: directionOf(actor) };
  },
);
