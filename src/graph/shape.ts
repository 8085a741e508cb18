/**
 * Shapes of symbolic tensors: rank known, each side a number or an expression over named sides.
 *
 * The dimension legend, the only source of single letters in this project:
 *
 *   B batch            T text or query length    S key length (cache capacity)
 *   N patches          M visual tokens after reduction                V views
 *   H heads            K key-value heads         E width of a head
 *   D width            F width inside an MLP     W vocabulary
 *   J tokens that a loss judges
 */
import { GraphError, ShapeError } from "../errors.js";

/** One side of a shape: a number, or a polynomial with integer coefficients over named sides. */
export type Dim = number | DimExpression;
export type Shape = readonly Dim[];

/** What the caller writes: `"T"` is the side named T. */
export type DimLike = Dim | string;

/** Values of the named sides. */
export type DimBindings = Readonly<Record<string, number>>;

/**
 * A polynomial in canonical form, such as `B*T + 577`, so that equal expressions print equally.
 * Numbers never appear as expressions: every operation returns a plain number where it can.
 */
export class DimExpression {
  /** Coefficient of each monomial; the monomial is its names sorted and joined by `*`. */
  private constructor(readonly terms: ReadonlyMap<string, number>) {}

  static named(name: string): DimExpression {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      throw new GraphError(`dim: a name is letters, digits and _, got ${JSON.stringify(name)}`);
    }
    return new DimExpression(new Map([[name, 1]]));
  }

  static from(terms: ReadonlyMap<string, number>): Dim {
    const kept = [...terms].filter(([, coefficient]) => coefficient !== 0);
    if (kept.length === 0) return 0;
    if (kept.length === 1 && kept[0][0] === "") return kept[0][1];
    return new DimExpression(
      new Map(kept.sort(([a], [b]) => (a === "" ? 1 : b === "" ? -1 : a < b ? -1 : 1))),
    );
  }

  toString(): string {
    return [...this.terms]
      .map(([names, coefficient]) =>
        names === "" ? `${coefficient}` : coefficient === 1 ? names : `${coefficient}*${names}`,
      )
      .join(" + ");
  }
}

export const dim = (like: DimLike): Dim =>
  typeof like === "string" ? DimExpression.named(like) : like;

const termsOf = (value: Dim): ReadonlyMap<string, number> =>
  typeof value === "number" ? new Map([["", value]]) : value.terms;

export const sameDim = (a: Dim, b: Dim): boolean => a === b || String(a) === String(b);

export const sameShape = (a: Shape, b: Shape): boolean =>
  a.length === b.length && a.every((side, axis) => sameDim(side, b[axis]));

export const addDims = (...dims: readonly Dim[]): Dim => {
  const sum = new Map<string, number>();
  for (const value of dims) {
    for (const [names, coefficient] of termsOf(value)) {
      sum.set(names, (sum.get(names) ?? 0) + coefficient);
    }
  }
  return DimExpression.from(sum);
};

const joinNames = (a: string, b: string): string =>
  [...a.split("*"), ...b.split("*")].filter(Boolean).sort().join("*");

export const multiplyDims = (...dims: readonly Dim[]): Dim =>
  dims.reduce<Dim>((left, right) => {
    if (typeof left === "number" && typeof right === "number") return left * right;
    const product = new Map<string, number>();
    for (const [leftNames, leftCoefficient] of termsOf(left)) {
      for (const [rightNames, rightCoefficient] of termsOf(right)) {
        const names = joinNames(leftNames, rightNames);
        product.set(names, (product.get(names) ?? 0) + leftCoefficient * rightCoefficient);
      }
    }
    return DimExpression.from(product);
  }, 1);

export const subtractDims = (a: Dim, b: Dim): Dim => addDims(a, multiplyDims(-1, b));

/**
 * `a / b` where it is exact for every value of the names; undefined otherwise, and for a `b` of
 * several terms that is not `a` itself.
 */
export const divideDims = (a: Dim, b: Dim): Dim | undefined => {
  if (a === 0) return b === 0 ? undefined : 0;
  const divisor = [...termsOf(b)];
  if (divisor.length === 1) {
    const [divisorNames, divisorCoefficient] = divisor[0];
    const quotient = new Map<string, number>();
    for (const [names, coefficient] of termsOf(a)) {
      const rest = names.split("*").filter(Boolean);
      for (const name of divisorNames.split("*").filter(Boolean)) {
        const at = rest.indexOf(name);
        if (at < 0) return undefined;
        rest.splice(at, 1);
      }
      if (coefficient % divisorCoefficient !== 0) return undefined;
      quotient.set(rest.join("*"), coefficient / divisorCoefficient);
    }
    return DimExpression.from(quotient);
  }
  if (sameDim(a, b)) return 1;
  return undefined;
};

export const productOfDims = (shape: Shape): Dim => multiplyDims(...shape);

/** The value of `side` under `bindings`. Throws `GraphError` when a name has no value. */
export const evaluateDim = (side: Dim, bindings: DimBindings): number => {
  if (typeof side === "number") return side;
  let value = 0;
  for (const [names, coefficient] of termsOf(side)) {
    let term = coefficient;
    for (const name of names.split("*").filter(Boolean)) {
      const bound = bindings[name];
      if (bound === undefined) {
        throw new GraphError(
          `evaluateDim: ${side} needs a value for ${name}; pass it in the bindings`,
        );
      }
      term *= bound;
    }
    value += term;
  }
  return value;
};

export const evaluateShape = (shape: Shape, bindings: DimBindings): number[] =>
  shape.map((side) => evaluateDim(side, bindings));

export const formatShape = (shape: Shape): string => `[${shape.map(String).join(", ")}]`;

/** The names that occur in `shape`. */
export const namesInShape = (shape: Shape): Set<string> => {
  const names = new Set<string>();
  for (const side of shape) {
    for (const [product] of termsOf(side)) {
      for (const name of product.split("*").filter(Boolean)) names.add(name);
    }
  }
  return names;
};

/** Index of `axis` counted from the front; negative axes count from the back, as in ONNX. */
export const resolveAxis = (where: string, axis: number, rank: number): number => {
  const resolved = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(resolved) || resolved < 0 || resolved >= rank) {
    throw new ShapeError(`${where}: axis must be within rank ${rank}, got ${axis}`);
  }
  return resolved;
};

/** The shape of an elementwise result: sides equal or 1, aligned at the back (ONNX broadcasting). */
export const broadcastShapes = (where: string, a: Shape, b: Shape): Dim[] => {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (sameDim(left, right) || right === 1) return left;
    if (left === 1) return right;
    throw new ShapeError(
      `${where}: sides must be equal or 1, got ${formatShape(a)} and ${formatShape(b)}`,
    );
  });
};
