import type { Lane } from "../data/conversation.js";
import type { ModelCard } from "../data/server.js";
import type { Answerer } from "./answerer.js";
import { BrowserAnswerer } from "./browser-answerer.js";
import { createServerAnswerer } from "./server-answerer.js";

export type Answerers = {
  /** Who answers for a lane; a model in this browser is fetched when it is first asked. */
  of(lane: Lane): Answerer;
  /** The same, undefined while a model in this browser is still on its way. */
  ifReady(lane: Lane): Answerer | undefined;
  /** The model in this browser that a lane asks, if it does. */
  inBrowser(lane: Lane): BrowserAnswerer | undefined;
};

/** One answerer for each model and place. */
export const createAnswerers = (models: readonly ModelCard[]): Answerers => {
  const started = new Map<string, BrowserAnswerer>();
  const inBrowser = ({ model, place }: Lane): BrowserAnswerer | undefined => {
    const files = models.find(({ id }) => id === model)?.browser;
    if (place === "server" || !files) return undefined;
    const key = `${place} ${model}`;
    const known = started.get(key) ?? new BrowserAnswerer(files, place);
    started.set(key, known);
    return known;
  };
  return {
    of: (lane) => inBrowser(lane) ?? createServerAnswerer(lane.model),
    ifReady: (lane) => {
      const own = inBrowser(lane);
      if (own === undefined) return createServerAnswerer(lane.model);
      return own.state.type === "ready" ? own : undefined;
    },
    inBrowser,
  };
};
