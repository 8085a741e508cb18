import { OptionsError } from "../../errors.js";
import { ApiError } from "../api/api-error.js";
import { type ModelFacts, readModelFacts } from "./model-facts.js";
import { ModelPool, type PoolOptions } from "./model-pool.js";
import type { WorkerStart } from "./worker-messages.js";

/** A model by the name that requests ask for. */
export type ModelSpec = { readonly name: string; readonly start: WorkerStart };

export type RegistryOptions = PoolOptions & {
  /** Bytes that all loaded models may take together, by their estimates. */
  readonly maxBytes: number;
};

export type ModelEntry = ModelFacts & {
  readonly name: string;
  /** Seconds since 1970 when it was offered. */
  readonly created: number;
  readonly isLoaded: boolean;
};

/** A model in use; it is not unloaded before `release`. */
export type Lease = { readonly name: string; readonly pool: ModelPool; release(): void };

type Held = {
  readonly spec: ModelSpec;
  readonly created: number;
  readonly facts: ModelFacts;
  pool?: ModelPool;
  numLeases: number;
  lastUsedMs: number;
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
      const facts = await readModelFacts(spec.start, options);
      const { memoryBytes } = facts;
      if (memoryBytes > options.maxBytes) {
        throw new OptionsError(
          `serve: the model "${spec.name}" may take ${memoryBytes} bytes, more than the bound of ${options.maxBytes}; raise the bound, or lower the context length, the caches or the number of sequences`,
        );
      }
      const created = Math.floor(Date.now() / 1000);
      registry.models.set(spec.name, { spec, created, facts, numLeases: 0, lastUsedMs: 0 });
    }
    return registry;
  }

  get entries(): readonly ModelEntry[] {
    return [...this.models.values()].map(({ spec, created, facts, pool }) => ({
      ...facts,
      name: spec.name,
      created,
      isLoaded: (pool?.numReady ?? 0) > 0,
    }));
  }

  /** The published system that a model is; empty for a name that is not there. */
  systemOf(name: string): string {
    return this.models.get(name)?.facts.info.system ?? "";
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
      if (this.sumLoaded() + held.facts.memoryBytes > this.options.maxBytes) return;
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
      await pool.ready;
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
    for (const { pool, facts } of this.models.values()) if (pool) bytes += facts.memoryBytes;
    return bytes;
  }

  private inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.last.then(work);
    this.last = result.catch(() => {});
    return result;
  }

  private async load(held: Held): Promise<ModelPool> {
    if (held.pool !== undefined) return held.pool;
    while (this.sumLoaded() + held.facts.memoryBytes > this.options.maxBytes) {
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
