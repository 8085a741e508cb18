import { stat } from "node:fs/promises";
import { kvBytesPerToken } from "../../cost/kv-bytes.js";
import { OptionsError } from "../../errors.js";
import { resolveModel } from "../../load/resolved-model.js";
import { openModelFolder } from "../../weights/model-folder.node.js";
import { ApiError } from "../api/api-error.js";
import { ModelPool, type PoolOptions } from "./model-pool.js";
import type { ServedModelInfo, WorkerStart } from "./worker-messages.js";

/** A model by the name that requests ask for. */
export type ModelSpec = { readonly name: string; readonly start: WorkerStart };

export type RegistryOptions = PoolOptions & {
  /** Bytes that all loaded models may take together, by their estimates. */
  readonly maxBytes: number;
};

export type ModelEntry = {
  readonly name: string;
  /** Seconds since 1970 when it was offered. */
  readonly created: number;
  /** Weights, caches at their bounds and the keys and values of all answers at once. */
  readonly memoryBytes: number;
  readonly isLoaded: boolean;
  /** Known once it has been loaded. */
  readonly info?: ServedModelInfo;
};

/** A model in use; it is not unloaded before `release`. */
export type Lease = { readonly name: string; readonly pool: ModelPool; release(): void };

type Held = {
  readonly spec: ModelSpec;
  readonly created: number;
  readonly memoryBytes: number;
  pool?: ModelPool;
  info?: ServedModelInfo;
  numLeases: number;
  lastUsedMs: number;
};

const defaultCacheBytes = 512 * 1024 * 1024;

/** Bytes that a model takes when it is loaded and everything it may keep is full. */
export const estimateModelBytes = async (
  { path, options }: WorkerStart,
  { numWorkers, maxSequences }: Pick<PoolOptions, "numWorkers" | "maxSequences">,
): Promise<number> => {
  const open = (name: string) => openModelFolder(name, options);
  const { tensors, system } = await resolveModel(await open(path), open, options);
  let weightBytes = 0;
  for (const file of new Set([...tensors.values()].map((stored) => stored.file))) {
    weightBytes += (await stat(file)).size;
  }
  const context = options.contextLength ?? Math.min(system.config.maxLength, 32_768);
  const answers = maxSequences * context * kvBytesPerToken(system.language);
  const caches = (options.featureCacheBytes ?? defaultCacheBytes) + (options.prefixCacheBytes ?? 0);
  // Mapped weights are the same memory for all workers.
  return weightBytes + numWorkers * (answers + caches);
};

const busy = (): ApiError =>
  new ApiError(503, "Other models take the memory at the moment; try again later.", {
    type: "unavailable_error",
    code: "memory_in_use",
    retryAfterSeconds: 5,
  });

/** Models by name. They are loaded when first asked for, and the least recently used idle one goes first. */
export class ModelRegistry {
  private readonly models = new Map<string, Held>();
  /** One model is loaded or unloaded at a time, so that the bound holds. */
  private last: Promise<unknown> = Promise.resolve();

  private constructor(private readonly options: RegistryOptions) {}

  /**
   * Looks at every model's folder and loads none. Throws what opening a folder throws, and
   * `OptionsError` for two models of one name or one that is larger than the bound.
   */
  static async open(specs: readonly ModelSpec[], options: RegistryOptions): Promise<ModelRegistry> {
    const registry = new ModelRegistry(options);
    for (const spec of specs) {
      if (registry.models.has(spec.name)) {
        throw new OptionsError(
          `serve: every model needs a name of its own, got "${spec.name}" twice`,
        );
      }
      const memoryBytes = await estimateModelBytes(spec.start, options);
      if (memoryBytes > options.maxBytes) {
        throw new OptionsError(
          `serve: the model "${spec.name}" may take ${memoryBytes} bytes, more than the bound of ${options.maxBytes}; raise the bound, or lower the context length, the caches or the number of sequences`,
        );
      }
      const created = Math.floor(Date.now() / 1000);
      registry.models.set(spec.name, { spec, created, memoryBytes, numLeases: 0, lastUsedMs: 0 });
    }
    return registry;
  }

  get entries(): readonly ModelEntry[] {
    return [...this.models.values()].map(({ spec, created, memoryBytes, pool, info }) => ({
      name: spec.name,
      created,
      memoryBytes,
      isLoaded: (pool?.numReady ?? 0) > 0,
      ...(info && { info }),
    }));
  }

  /** The pools of loaded models by name. */
  get pools(): readonly (readonly [string, ModelPool])[] {
    return [...this.models].flatMap(([name, { pool }]) => (pool ? [[name, pool] as const] : []));
  }

  /** Bytes of all loaded models, by their estimates. */
  get loadedBytes(): number {
    return this.sumLoaded();
  }

  /** Loads as many models as the bound allows, in their order; throws if one cannot be loaded. */
  async loadAll(): Promise<void> {
    for (const held of this.models.values()) {
      if (this.sumLoaded() + held.memoryBytes > this.options.maxBytes) return;
      (await this.acquire(held.spec.name)).release();
    }
  }

  /** A model, loaded if it was not. Throws `ApiError` for an unknown name, or when memory is in use. */
  async acquire(name: string): Promise<Lease> {
    const held = this.models.get(name);
    if (held === undefined) {
      throw new ApiError(404, `The model "${name}" does not exist.`, {
        type: "invalid_request_error",
        code: "model_not_found",
        param: "model",
      });
    }
    held.numLeases += 1;
    let isReleased = false;
    const release = (): void => {
      if (!isReleased) held.numLeases -= 1;
      isReleased = true;
      held.lastUsedMs = performance.now();
    };
    try {
      const pool = held.pool ?? (await this.inTurn(() => this.load(held)));
      held.info = await pool.ready;
      return { name, pool, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.pools.map(([, pool]) => pool.close()));
  }

  private sumLoaded(): number {
    let bytes = 0;
    for (const { pool, memoryBytes } of this.models.values()) if (pool) bytes += memoryBytes;
    return bytes;
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  private async load(held: Held): Promise<ModelPool> {
    if (held.pool !== undefined) return held.pool;
    while (this.sumLoaded() + held.memoryBytes > this.options.maxBytes) {
      const idle = [...this.models.values()]
        .filter(({ pool, numLeases }) => pool !== undefined && numLeases === 0)
        .sort((a, b) => a.lastUsedMs - b.lastUsedMs)
        .at(0);
      if (idle === undefined) throw busy();
      const { pool } = idle;
      idle.pool = undefined;
      await pool?.close();
    }
    const pool = new ModelPool(held.spec.start, this.options);
    held.pool = pool;
    try {
      await pool.ready;
      return pool;
    } catch (error) {
      held.pool = undefined;
      await pool.close();
      throw error;
    }
  }
}
