import { GraphError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import {
  bindFeeds,
  checkPlacement,
  checkValue,
  closedError,
  type Engine,
  type Provider,
  type RunOptions,
  type Session,
} from "./engine.js";
import type { EngineHost, OpenRequest } from "./engine-host.js";
import { type OpenWithLimit, probeFusedQueries } from "./fused-attention-probe.js";
import { lowerGraph, type ParameterSource } from "./onnx/lower-graph.js";

/** `EngineHost` as seen from elsewhere: every method answers later. */
export type AsyncHost = {
  [Method in
    | "open"
    | "run"
    | "close"
    | "allocate"
    | "copy"
    | "write"
    | "read"
    | "release"
    | "closeAll"]: (
    ...parameters: Parameters<EngineHost[Method]>
  ) => Promise<Awaited<ReturnType<EngineHost[Method]>>>;
};

export type HostSettings = {
  readonly provider: Provider;
  readonly threads: number;
  /** Weight files by the name that parameters are located by, where files are not mapped. */
  readonly files?: ReadonlyMap<string, Blob>;
  /** Folder that external locations are relative to, where files are mapped. */
  readonly mappedFrom?: string;
  readonly wasmPaths?: string;
};

const filesAt = (
  locations: ReadonlySet<string>,
  files: ReadonlyMap<string, Blob>,
): OpenRequest["files"] =>
  [...locations].map((path) => {
    const data = files.get(path);
    if (data !== undefined) return { path, data };
    throw new GraphError(
      `open: parameters lie in the file "${path}", but the engine was given ${[...files.keys()].join(", ") || "no files"}; pass it in the engine's \`files\``,
    );
  });

/** An engine whose runtime lives behind `host`: checks shapes on this side, computes on that one. */
export const createRemoteEngine = (
  host: AsyncHost,
  { provider, threads, files = new Map(), mappedFrom, wasmPaths }: HostSettings,
  onClose: () => Promise<void> = async () => {},
): Engine => {
  let closed = false;
  const assertOpen = (): void => {
    if (closed) throw closedError("engine");
  };

  let fusedQueries: Promise<number> | undefined;
  const maxFusedQueries = (): Promise<number> => {
    fusedQueries ??=
      provider === "webgpu" ? probeFusedQueries(openWith) : Promise.resolve(Infinity);
    return fusedQueries;
  };

  const open: Engine["open"] = async (graph, parameters) =>
    openWith(graph, parameters, await maxFusedQueries());

  const openWith: OpenWithLimit = async (graph, parameters, maxFusedQueries) => {
    assertOpen();
    const startedMs = performance.now();
    const locations = new Set<string>();
    const watched: ParameterSource = (name, shape) => {
      const stored = parameters(name, shape);
      if (!(stored.content instanceof Uint8Array)) locations.add(stored.content.location);
      return stored;
    };
    const model = lowerGraph(graph, watched, {
      maxFusedQueries,
      hasFusedMatMul: provider !== "webgpu",
      hasNormStatistics: provider !== "webgpu",
    });
    const isMapped = mappedFrom !== undefined && locations.size > 0;
    const sessionId = await host.open({
      model,
      provider,
      threads,
      files: mappedFrom === undefined ? filesAt(locations, files) : [],
      ...(isMapped && { mappedFrom }),
      ...(wasmPaths !== undefined && { wasmPaths }),
    });
    const openMs = performance.now() - startedMs;
    let sessionClosed = false;

    const run = async (
      feeds: Parameters<Session["run"]>[0],
      { fetch, into = {}, place = [] }: RunOptions = {},
    ): Promise<Record<string, TensorData>> => {
      assertOpen();
      if (sessionClosed) throw closedError(`session "${graph.name}"`);
      const bindings = bindFeeds(graph, feeds);
      const placed = new Set(place.map(({ output }) => output));
      const stays = (name: string): boolean => name in into || placed.has(name);
      const wanted = fetch ?? [...graph.outputs.keys()].filter((name) => !stays(name));
      for (const name of [...wanted, ...Object.keys(into), ...placed]) {
        const tensor = graph.outputs.get(name);
        if (tensor === undefined) {
          throw new GraphError(
            `run: "${graph.name}" has no output "${name}"; its outputs are ${[...graph.outputs.keys()].join(", ")}`,
          );
        }
        const target = into[name];
        if (target !== undefined) {
          checkValue(`output "${name}"`, tensor.dtype, tensor.shape, target, bindings);
        }
      }
      for (const placement of place) checkPlacement(graph, placement, bindings);
      const results = await host.run({ sessionId, feeds, fetch: wanted, into, place });
      for (const [name, value] of Object.entries(results)) {
        const tensor = graph.outputs.get(name);
        if (tensor !== undefined) {
          checkValue(
            `output "${name}" of "${graph.name}"`,
            tensor.dtype,
            tensor.shape,
            value,
            bindings,
          );
        }
      }
      return results;
    };

    const close = async (): Promise<void> => {
      if (sessionClosed || closed) return;
      sessionClosed = true;
      await host.close(sessionId);
    };
    return { graph, openMs, run, close };
  };

  return {
    provider,
    threads,
    open,
    maxFusedQueries,
    allocate: (dtype, shape) => {
      assertOpen();
      return host.allocate(dtype, shape);
    },
    copy: (from, to, layout) => host.copy(from, to, layout),
    write: async (resident, value) => {
      checkValue("memory to write", resident.dtype, resident.shape, value, {});
      await host.write(resident, value);
    },
    read: (resident) => host.read(resident),
    release: async (resident) => {
      if (!closed) await host.release(resident);
    },
    close: async () => {
      if (closed) return;
      closed = true;
      try {
        await host.closeAll();
      } finally {
        await onClose();
      }
    },
  };
};
