import { placeOperations } from "../cost/part-operations.js";
import {
  anchorFeeds,
  bindFeeds,
  cutGraph,
  type Feed,
  type Graph,
  type RunOptions,
  type Session,
} from "../graph/index.js";
import type { OpenGraph } from "../systems/encoder.js";
import { type CostPart, costParts } from "../systems/run-plan.js";
import type { TensorData } from "../tensor-data.js";

export type StageTimes = {
  /** Milliseconds of each part's runs. */
  readonly parts: Readonly<Record<CostPart, number>>;
  /** Milliseconds of making graphs ready, which happens when one is first needed. */
  readonly openMs: number;
};

/** Opens graphs in pieces, one for each part of the cost report, and times the pieces' runs. */
export type StageTimer = {
  readonly open: OpenGraph;
  /** What has run since it was last asked. */
  take(): StageTimes;
};

const noTimes = (): Record<CostPart, number> =>
  Object.fromEntries(costParts.map((part) => [part, 0])) as Record<CostPart, number>;

/**
 * A timer around `open`. Graphs are cut where `cost/` says that another part begins, so that times and
 * predicted operations are of the same things; `partOf` is the part of graphs without products. A cut
 * costs a copy of what crosses it.
 */
export const createStageTimer = (
  open: OpenGraph,
  partOf: (graph: Graph) => CostPart,
): StageTimer => {
  let parts = noTimes();
  let openMs = 0;

  const openInStages: OpenGraph = async (graph) => {
    const startedMs = performance.now();
    const whole = partOf(graph);
    const places = placeOperations(graph);
    const stages = cutGraph(graph, (operation) => places.get(operation)?.part ?? whole, whole);
    const opened: { readonly part: CostPart; readonly session: Session }[] = [];
    for (const { label, graph: piece } of stages) {
      opened.push({ part: label, session: await open(piece) });
    }
    openMs += performance.now() - startedMs;

    const timed = async (
      part: CostPart,
      session: Session,
      feeds: Readonly<Record<string, Feed>>,
      options?: RunOptions,
    ): Promise<Record<string, TensorData>> => {
      const runStartedMs = performance.now();
      try {
        return await session.run(feeds, options);
      } finally {
        parts[part] += performance.now() - runStartedMs;
      }
    };

    const runStages: Session["run"] = async (feeds, options = {}) => {
      const [only, ...others] = opened;
      if (others.length === 0) return timed(only.part, only.session, feeds, options);
      const { fetch, into = {}, place = [] } = options;
      const stays = new Set([...Object.keys(into), ...place.map(({ output }) => output)]);
      const wanted = fetch ?? [...graph.outputs.keys()].filter((name) => !stays.has(name));
      const known: Record<string, Feed> = { ...feeds };
      const bindings = bindFeeds(graph, feeds);
      for (const { part, session } of opened) {
        const { inputs, outputs } = session.graph;
        const anchors = anchorFeeds(session.graph, bindings);
        const ownFeeds = Object.fromEntries(
          [...inputs.keys()].map((name) => [name, known[name] ?? anchors[name]]),
        );
        const isOwn = (name: string): boolean => outputs.has(name);
        const results = await timed(part, session, ownFeeds, {
          // What crosses a cut is no output of the whole, or is wanted by it as well.
          fetch: [...outputs.keys()].filter((name) => !stays.has(name)),
          into: Object.fromEntries(Object.entries(into).filter(([name]) => isOwn(name))),
          place: place.filter(({ output }) => isOwn(output)),
        });
        Object.assign(known, results);
      }
      return Object.fromEntries(wanted.map((name) => [name, known[name] as TensorData]));
    };

    return {
      graph,
      openMs: opened.reduce((sum, { session }) => sum + session.openMs, 0),
      run: runStages,
      close: async () => {
        for (const { session } of opened) await session.close();
      },
    };
  };

  return {
    open: openInStages,
    take: () => {
      const taken = { parts, openMs };
      parts = noTimes();
      openMs = 0;
      return taken;
    },
  };
};
