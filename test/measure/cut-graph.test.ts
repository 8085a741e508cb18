import { describe, expect, it } from "vitest";
import { estimateGraphCost } from "../../src/cost/graph-cost.js";
import { placeOperations } from "../../src/cost/part-operations.js";
import { cutGraph, type Graph } from "../../src/graph/index.js";
import { presetModel } from "../../src/load/preset-model.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { llavaMiniParams } from "../../src/systems/llava-mini.js";
import type { LlavaMiniConfig } from "../../src/systems/llava-mini-config.js";
import { llavaMiniFusionGraph, llavaMiniVisionGraph } from "../../src/systems/llava-mini-graphs.js";
import { uhdVisionParams } from "../../src/systems/llava-uhd.js";
import type { LlavaUhdConfig } from "../../src/systems/llava-uhd-config.js";
import { llavaUhdVisionGraph } from "../../src/systems/llava-uhd-graphs.js";

const mini = presetModel("tiny-llava-mini").system.config as LlavaMiniConfig;
const miniParams = llavaMiniParams(new ParameterScope(), mini);
const uhd = presetModel("tiny-llava-uhd").system.config as LlavaUhdConfig;
const uhdGraph = llavaUhdVisionGraph(
  uhdVisionParams(new ParameterScope(), uhd.vision),
  uhd.vision,
  1,
  "16x",
);

const cut = (graph: Graph) => {
  const places = placeOperations(graph);
  return cutGraph(graph, (operation) => places.get(operation)?.part ?? "vision", "vision");
};

const cases = [
  [
    "LLaVA-Mini's vision",
    llavaMiniVisionGraph(miniParams, mini),
    {},
    ["vision", "projector", "compression", "projector"],
  ],
  ["LLaVA-Mini's fusion", llavaMiniFusionGraph(miniParams, mini, 64), { L: 20 }, ["fusion"]],
  [
    "LLaVA-UHD v4's vision",
    uhdGraph,
    { V0: 3, M0: 9 },
    ["vision", "compression", "vision", "projector"],
  ],
] as const;

describe("a graph cut where another part begins", () => {
  it.each(cases)(
    "%s: has the parts in the order in which they are computed",
    (_, graph, __, parts) => {
      expect(cut(graph).map(({ label }) => label)).toEqual(parts);
    },
  );

  it.each(cases)("%s: its pieces do the work of the whole, once", (_, graph, bindings) => {
    const pieces = cut(graph).map((stage) => estimateGraphCost(stage.graph, bindings));
    const whole = estimateGraphCost(graph, bindings);
    expect(pieces.reduce((sum, { linear }) => sum + linear, 0)).toBe(whole.linear);
    expect(pieces.reduce((sum, { attention }) => sum + attention, 0)).toBe(whole.attention);
  });

  it.each(cases)("%s: every piece reads the graph's inputs or what came before", (_, graph) => {
    const known = new Set(graph.inputs.keys());
    for (const { graph: piece } of cut(graph)) {
      for (const name of piece.inputs.keys()) {
        expect(known.has(name) || name.startsWith("side."), name).toBe(true);
      }
      for (const name of piece.outputs.keys()) known.add(name);
    }
    for (const name of graph.outputs.keys()) expect(known).toContain(name);
  });
});
