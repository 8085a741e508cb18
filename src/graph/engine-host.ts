/**
 * The side of an engine that holds ONNX Runtime, within a worker. The caller's side speaks to it with
 * plain values that can be copied between threads (`worker-protocol.ts`).
 */
import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from "onnxruntime-common";
import { ProviderUnavailableError, SessionClosedError } from "../errors.js";
import { type DType, elementCount, type TensorData } from "../tensor-data.js";
import {
  type CopyLayout,
  type Feed,
  isResident,
  type Placement,
  type Provider,
  type Resident,
} from "./engine.js";

/** What we need of `onnxruntime-node` or `onnxruntime-web`. */
export type OnnxRuntime = {
  readonly InferenceSession: {
    create(model: Uint8Array, options: InferenceSession.SessionOptions): Promise<InferenceSession>;
  };
  readonly Tensor: new (
    type: OrtTensor.Type,
    data: OrtTensor.DataType,
    dims: readonly number[],
  ) => OrtTensor;
};

export type OpenRequest = {
  readonly model: Uint8Array;
  readonly provider: Provider;
  readonly threads: number;
  /** Folder that external locations are relative to, where the runtime maps files into memory. */
  readonly mappedFrom?: string;
  /** External files that the model refers to, where the runtime cannot read them by itself. */
  readonly files: readonly ExternalFile[];
  /** Address of the folder with the runtime's own WebAssembly files, where it is not the default. */
  readonly wasmPaths?: string;
};

/** Browsers keep large blobs on disk, and a blob travels to a worker without being copied. */
export type ExternalFile = { readonly path: string; readonly data: Blob };

export type RunRequest = {
  readonly sessionId: number;
  readonly feeds: Readonly<Record<string, Feed>>;
  readonly fetch: readonly string[];
  readonly into: Readonly<Record<string, Resident>>;
  readonly place?: readonly Placement[];
};

type ResidentArray = Exclude<TensorData["data"], BigInt64Array> | BigInt64Array;

const copyBlocks = (source: ResidentArray, target: ResidentArray, layout: CopyLayout): void => {
  for (let block = 0; block < layout.numBlocks; block += 1) {
    const start = block * layout.fromStride;
    const part = source.subarray(start, start + layout.blockElements);
    (target as Float32Array).set(part as Float32Array, block * layout.toStride);
  }
};

const arrayTypes = {
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  uint8: Uint8Array,
  bool: Uint8Array,
} as const;

const fromOrt = (tensor: OrtTensor): TensorData => {
  const { type, dims, data } = tensor as TypedTensor<"float32">;
  // Copied: the runtime owns (and may reuse) the memory behind an output.
  const copy = data.slice();
  const dtype = type as DType;
  // Where JavaScript has a Float16Array the runtime uses it; `TensorData` holds raw bits.
  const raw = dtype === "float16" ? new Uint16Array(copy.buffer) : copy;
  return { dtype, shape: [...dims], data: raw } as TensorData;
};

/** What ONNX Runtime is told for each provider; `session` keys are its own configuration keys. */
const sessionOptions = (request: OpenRequest): InferenceSession.SessionOptions => {
  const { provider, threads, mappedFrom, files } = request;
  // Idle threads of one session would go on spinning for some 20 ms and take the processors away
  // from the next session: alternating sessions ran at half speed on two cores.
  const session: Record<string, string> = { force_spinning_stop: "1" };
  // Mapped weights are used where they lie. Packing would copy them all into resident memory.
  if (mappedFrom !== undefined) {
    session.disable_prepacking = "1";
    session.model_external_initializers_file_folder_path = mappedFrom;
  }
  return {
    executionProviders: [provider],
    graphOptimizationLevel: "all",
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    // The pattern planner reserves one block on top of the arena: half as much memory again for a
    // training step, and room for all weights together, mapped ones included, so that a model larger
    // than the machine's memory, which maps well, could not be opened. It saves no time.
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session },
    ...(files.length > 0 && { externalData: [...files] }),
  };
};

/**
 * What ONNX Runtime says where a provider is not there. The processor always is: whatever fails
 * there lies in the graph or its weights.
 */
const missingProvider: Readonly<Record<Provider, RegExp>> = {
  cpu: /backend not found/i,
  wasm: /no available backend|WebAssembly/i,
  webgpu: /no available backend|backend not found|WebGPU|adapter/i,
  cuda: /no available backend|backend not found|CUDA/i,
};

export class EngineHost {
  private readonly sessions = new Map<number, InferenceSession>();
  private readonly memory = new Map<number, { dtype: DType; data: ResidentArray }>();
  private nextId = 1;

  /**
   * `writesInPlace`: whether the runtime writes outputs into arrays that it is given, which the one
   * for browsers does not (it copies them into its own memory and leaves the results there).
   */
  constructor(
    private readonly runtime: OnnxRuntime,
    private readonly writesInPlace = true,
  ) {}

  /** Makes a model ready; returns its id. */
  async open(request: OpenRequest): Promise<number> {
    let session: InferenceSession;
    try {
      session = await this.runtime.InferenceSession.create(request.model, sessionOptions(request));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      if (missingProvider[request.provider].test(reason)) {
        throw new ProviderUnavailableError(
          `open: provider "${request.provider}" cannot be used here (${reason}); choose another provider`,
          { cause },
        );
      }
      throw cause;
    }
    const id = this.nextId++;
    this.sessions.set(id, session);
    return id;
  }

  async run(request: RunRequest): Promise<Record<string, TensorData>> {
    const { sessionId, feeds, fetch, into, place = [] } = request;
    const session = this.session(sessionId);
    const inputs: Record<string, OrtTensor> = {};
    const residents = new Map<string, OrtTensor>();
    const tensorOf = (resident: Resident): OrtTensor => {
      const key = `${resident.residentId} ${resident.elementOffset} ${resident.shape}`;
      const known = residents.get(key);
      if (known !== undefined) return known;
      const tensor = this.toOrt({ ...resident, data: this.view(resident) } as TensorData);
      residents.set(key, tensor);
      return tensor;
    };
    for (const [name, feed] of Object.entries(feeds)) {
      inputs[name] = isResident(feed) ? tensorOf(feed) : this.toOrt(feed);
    }
    const wanted: Record<string, OrtTensor | null> = {};
    for (const name of fetch) wanted[name] = null;
    for (const { output } of place) wanted[output] = null;
    for (const [name, resident] of Object.entries(into)) {
      wanted[name] = this.writesInPlace ? tensorOf(resident) : null;
    }
    const results = await session.run(inputs, wanted);
    if (!this.writesInPlace) {
      for (const [name, resident] of Object.entries(into)) {
        (this.view(resident) as Float32Array).set(fromOrt(results[name]).data as Float32Array);
      }
    }
    for (const { output, fromElement, to, toElement, layout } of place) {
      const source = results[output].data as ResidentArray;
      copyBlocks(source.subarray(fromElement), this.view(to).subarray(toElement), layout);
    }
    return Object.fromEntries(fetch.map((name) => [name, fromOrt(results[name])]));
  }

  async close(sessionId: number): Promise<void> {
    const session = this.session(sessionId);
    this.sessions.delete(sessionId);
    await session.release();
  }

  allocate(dtype: DType, shape: readonly number[]): Resident {
    const residentId = this.nextId++;
    this.memory.set(residentId, { dtype, data: new arrayTypes[dtype](elementCount(shape)) });
    return { residentId, dtype, shape: [...shape], elementOffset: 0 };
  }

  copy(from: Resident, to: Resident, layout: CopyLayout): void {
    copyBlocks(this.view(from), this.view(to), layout);
  }

  write(resident: Resident, { data }: TensorData): void {
    (this.view(resident) as Float32Array).set(data as Float32Array);
  }

  read(resident: Resident): TensorData {
    const { dtype, shape } = resident;
    return { dtype, shape, data: this.view(resident).slice() } as TensorData;
  }

  release(resident: Resident): void {
    this.memory.delete(resident.residentId);
  }

  async closeAll(): Promise<void> {
    for (const session of this.sessions.values()) await session.release();
    this.sessions.clear();
    this.memory.clear();
  }

  private view({ residentId, elementOffset, shape }: Resident): ResidentArray {
    const held = this.memory.get(residentId);
    if (held === undefined) {
      throw new SessionClosedError(`run: memory ${residentId} was released; allocate it again`);
    }
    return held.data.subarray(elementOffset, elementOffset + elementCount(shape));
  }

  private session(id: number): InferenceSession {
    const session = this.sessions.get(id);
    if (session === undefined)
      throw new SessionClosedError("run: the session is closed; open a new one");
    return session;
  }

  private toOrt({ dtype, data, shape }: TensorData): OrtTensor {
    return new this.runtime.Tensor(dtype as OrtTensor.Type, data as OrtTensor.DataType, shape);
  }
}
