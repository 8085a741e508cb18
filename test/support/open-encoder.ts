import { createMediaPreparation, type MediaPreparation } from "../../src/generate/media.js";
import type { Engine } from "../../src/graph/engine.js";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import { clipConfig } from "../../src/image/clip-config.js";
import { locateForEngine } from "../../src/load/located-tensors.node.js";
import { locateParameters } from "../../src/load/parameter-source.js";
import type { Encoder } from "../../src/systems/encoder.js";
import type { LlavaMiniVariant } from "../../src/systems/llava-mini-config.js";
import { parseSystem, type System } from "../../src/systems/system.js";
import { visionFactsOf } from "../../src/systems/vision-facts.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { createRenameTable } from "../../src/weights/rename.js";

export type OpenedEncoder = {
  readonly system: System;
  readonly engine: Engine;
  readonly encoder: Encoder;
  readonly media: MediaPreparation;
  close(): Promise<void>;
};

/** The part of a model between pixels and the language model, by itself: prompts as plain ids. */
export const openEncoder = async (
  path: string,
  {
    variant,
    featureCacheBytes = 0,
  }: { readonly variant?: LlavaMiniVariant; readonly featureCacheBytes?: number } = {},
): Promise<OpenedEncoder> => {
  const folder = await openModelFolder(path, { offline: true });
  const tower = await folder.subfolder("vision_tower");
  const system = parseSystem(folder.config, tower?.config, { ...(variant && { variant }) });
  const parameters = locateParameters(
    system.params,
    await locateForEngine(folder.tensors),
    createRenameTable(system.names),
  );
  const engine = createNodeEngine({ threads: 1 });
  const encoder = system.createEncoder({
    open: (graph) => engine.open(graph, parameters),
    featureCacheBytes,
    maxPromptTokens: 256,
  });
  const processor = clipConfig(visionFactsOf(system.config).viewSidePx);
  return {
    system,
    engine,
    encoder,
    media: createMediaPreparation(system.config, processor, encoder),
    close: () => engine.close(),
  };
};
