/**
 * How a parameter gets its first value when no checkpoint gives it. The element order is row-major,
 * and the random stream belongs to the parameter's name, so that adding a parameter changes no other.
 */
export type Initializer =
  | { readonly kind: "zeros" }
  | { readonly kind: "ones" }
  | { readonly kind: "normal"; readonly std: number }
  /** Uniform in ±bound. */
  | { readonly kind: "uniform"; readonly bound: number }
  | { readonly kind: "values"; readonly values: () => Float32Array };

export const zeros: Initializer = { kind: "zeros" };
export const ones: Initializer = { kind: "ones" };
export const normal = (std: number): Initializer => ({ kind: "normal", std });
export const uniform = (bound: number): Initializer => ({ kind: "uniform", bound });
export const values = (make: () => Float32Array): Initializer => ({ kind: "values", values: make });

/** 32-bit FNV-1a of a name: the seed of that parameter's own random stream. */
const hashName = (name: string): number => {
  let hash = 0x811c9dc5;
  for (let index = 0; index < name.length; index += 1) {
    hash = Math.imul(hash ^ name.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0;
};

/** Uniform numbers in [0, 1) from a 32-bit state (mulberry32). */
export const randomStream = (seed: number): (() => number) => {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
};

/** First value of a parameter: `count` elements, the same for the same name and seed. */
export const initParameter = (
  initializer: Initializer,
  name: string,
  count: number,
  seed: number,
): Float32Array => {
  const random = randomStream(hashName(name) ^ Math.imul(seed, 0x9e3779b1));
  switch (initializer.kind) {
    case "zeros":
      return new Float32Array(count);
    case "ones":
      return new Float32Array(count).fill(1);
    case "values":
      return initializer.values();
    case "uniform":
      return Float32Array.from({ length: count }, () => (2 * random() - 1) * initializer.bound);
    case "normal":
      return Float32Array.from({ length: count }, () => {
        // Box-Muller; 1 - random() keeps the logarithm finite.
        const radius = Math.sqrt(-2 * Math.log(1 - random()));
        return initializer.std * radius * Math.cos(2 * Math.PI * random());
      });
  }
};
