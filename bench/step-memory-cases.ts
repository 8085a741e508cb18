/** Training steps whose memory is predicted and measured. */
export type MemoryCase = {
  readonly batch: number;
  readonly textLength: number;
  /** Names of the parameters that train. */
  readonly trains: RegExp;
  readonly accumulation: number;
  readonly recompute: boolean;
};

const everything = /./;

export const memoryCases: Readonly<Record<string, MemoryCase>> = {
  "everything trains": {
    batch: 8,
    textLength: 112,
    trains: everything,
    accumulation: 1,
    recompute: false,
  },
  "gradient checkpointing": {
    batch: 8,
    textLength: 112,
    trains: everything,
    accumulation: 1,
    recompute: true,
  },
  "frozen vision, accumulation": {
    batch: 4,
    textLength: 200,
    trains: /^(?:language|projector)\./,
    accumulation: 3,
    recompute: false,
  },
};
