import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InferenceSession } from "onnxruntime-common";
import * as onnxRuntime from "onnxruntime-node";
import type { Engine } from "../../src/graph/engine.js";
import { EngineHost, type OnnxRuntime } from "../../src/graph/engine-host.js";
import { type AsyncHost, createRemoteEngine } from "../../src/graph/remote-engine.js";

/** What ONNX Runtime's profile says of one node that it ran. */
type ProfiledNode = {
  readonly op: string;
  readonly inputs: readonly (readonly number[])[];
  readonly output: readonly number[];
};

type TypedShape = Readonly<Record<string, readonly number[]>>;
type ProfileEvent = {
  readonly cat: string;
  readonly name: string;
  readonly args: {
    readonly op_name: string;
    readonly input_type_shape: readonly TypedShape[];
    readonly output_type_shape: readonly TypedShape[];
  };
};

const nodesOf = (file: string): ProfiledNode[] =>
  (JSON.parse(readFileSync(file, "utf8")) as ProfileEvent[])
    .filter(({ cat, name }) => cat === "Node" && name.endsWith("_kernel_time"))
    .map(({ args }) => ({
      op: args.op_name,
      inputs: args.input_type_shape.map((typed) => Object.values(typed)[0]),
      output: Object.values(args.output_type_shape[0] ?? { none: [] })[0],
    }));

const count = (shape: readonly number[]): number => shape.reduce((size, side) => size * side, 1);

/** Multiply-adds of a product. Weights are packed and no inputs any more: the left side tells enough. */
const productOf = ({ inputs: [left], output }: ProfiledNode): number =>
  count(output) * left[left.length - 1];

/** Operators that multiply and add; of what the others do, nothing is a product. */
const products: Readonly<
  Record<string, (node: ProfiledNode, attended: number | undefined) => number>
> = {
  Gemm: productOf,
  FusedGemm: productOf,
  MatMul: productOf,
  FusedMatMul: productOf,
  MultiHeadAttention: ({ inputs: [query, key] }) => 2 * count(query) * key[1],
  // With a cache, keys up to the total length are read, which only the run's own input tells.
  GroupQueryAttention: ({ inputs: [query, key] }, attended) =>
    2 * count(query) * (attended ?? key[1]),
};
const unknownProducts = /Conv|Gemm|MatMul|Attention|Einsum|Fused(?!Gemm|MatMul)/;

/** Counts what a run of ONNX Runtime executed. */
export type ProfiledEngine = Engine & {
  /** Closes the engine; multiply-adds of everything it ran. */
  finish(): Promise<number>;
};

/** An engine in this thread that profiles every session it opens. */
export const createProfiledEngine = (): ProfiledEngine => {
  const folder = mkdtempSync(join(tmpdir(), "saccade-profile-"));
  const sessions: { readonly session: InferenceSession; readonly lengths: number[] }[] = [];
  const runtime: OnnxRuntime = {
    ...(onnxRuntime as unknown as OnnxRuntime),
    InferenceSession: {
      create: async (model, options) => {
        const prefix = join(folder, `${String(sessions.length).padStart(4, "0")}.`);
        const profiled = { ...options, enableProfiling: true, profileFilePrefix: prefix };
        const session = await onnxRuntime.InferenceSession.create(model, profiled);
        const lengths: number[] = [];
        sessions.push({ session, lengths });
        const run = session.run.bind(session);
        session.run = ((feeds: InferenceSession.FeedsType, ...rest: []) => {
          lengths.push(Number(feeds.totalLength?.data[0] ?? Number.NaN));
          return run(feeds, ...rest);
        }) as typeof session.run;
        return session;
      },
    },
  };
  const host = new EngineHost(runtime);
  const later = <Method extends keyof AsyncHost>(method: Method): AsyncHost[Method] =>
    (async (...parameters: readonly unknown[]) =>
      (host[method] as (...values: readonly unknown[]) => unknown).apply(host, [
        ...parameters,
      ])) as AsyncHost[Method];
  const asyncHost: AsyncHost = {
    open: later("open"),
    run: later("run"),
    close: later("close"),
    allocate: later("allocate"),
    copy: later("copy"),
    write: later("write"),
    read: later("read"),
    release: later("release"),
    closeAll: later("closeAll"),
  };
  const engine = createRemoteEngine(asyncHost, { provider: "cpu", threads: 1 });

  const finish = async (): Promise<number> => {
    for (const { session } of sessions) session.endProfiling();
    await engine.close();
    let executed = 0;
    const files = readdirSync(folder).sort();
    for (const [index, { lengths }] of sessions.entries()) {
      const nodes = nodesOf(join(folder, files[index]));
      const withCache = nodes.filter(({ op }) => op === "GroupQueryAttention").length;
      let seen = 0;
      for (const node of nodes) {
        const price = products[node.op];
        if (price === undefined) {
          if (unknownProducts.test(node.op)) throw new Error(`profile: no rule for ${node.op}`);
          continue;
        }
        const isCached = node.op === "GroupQueryAttention";
        const run = isCached ? Math.floor((seen++ * lengths.length) / withCache) : 0;
        const attended = isCached ? lengths[run] : Number.NaN;
        executed += price(node, Number.isNaN(attended) ? undefined : attended);
      }
    }
    rmSync(folder, { recursive: true, force: true });
    return executed;
  };
  return { ...engine, finish };
};
