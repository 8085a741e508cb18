/**
 * How attention is shared among kinds of tokens: LLaVA-Mini's preliminary analysis (Zhang et al. 2025,
 * arXiv 2501.03895, section 3, figures 2 and 3), on any model whose language model reads visual tokens.
 */
import { type TokenClass, tokenClasses } from "./answered-sequence.js";
import type { AttentionMap } from "./sequence-probe.js";

/** One value from each class to each class; null where no token of the one sees any of the other. */
export type ByClass = Readonly<Record<TokenClass, Readonly<Record<TokenClass, number | null>>>>;

/** Folds the rows of `from` into one value for each class that they see. */
const byClass = (
  classes: readonly TokenClass[],
  fold: (from: readonly number[], to: readonly number[]) => number | null,
): ByClass => {
  const places = Object.fromEntries(
    tokenClasses.map((name) => [name, classes.flatMap((own, at) => (own === name ? [at] : []))]),
  ) as Record<TokenClass, number[]>;
  const rowOf = (from: TokenClass) =>
    Object.fromEntries(tokenClasses.map((to) => [to, fold(places[from], places[to])]));
  return Object.fromEntries(tokenClasses.map((from) => [from, rowOf(from)])) as ByClass;
};

/** Attention that the token at `row` gives to the tokens at `columns`. */
export const attentionMass = (
  { weights, length }: AttentionMap,
  row: number,
  columns: readonly number[],
): number => columns.reduce((sum, column) => sum + weights[row * length + column], 0);

/** Mean over the rows that see anything of `to`; others could not, whatever the model wanted. */
const meanOverSeeing = (
  map: AttentionMap,
  from: readonly number[],
  to: readonly number[],
  measure: (row: number, mass: number) => number,
): number | null => {
  let [sum, count] = [0, 0];
  for (const row of from) {
    const mass = attentionMass(map, row, to);
    if (mass <= 0) continue;
    sum += measure(row, mass);
    count += 1;
  }
  return count === 0 ? null : sum / count;
};

/**
 * Share of attention from each class to each class in one layer (Eq. 4 and 5): attention averaged over
 * heads, summed over the tokens attended to, and averaged over the tokens that see any of them.
 */
export const attentionByClass = (map: AttentionMap, classes: readonly TokenClass[]): ByClass =>
  byClass(classes, (from, to) => meanOverSeeing(map, from, to, (_, mass) => mass));

/** Entropy of values that add up to `total`, in nats: -Σ p ln p with p = value / total. */
export const entropyOf = (values: Iterable<number>, total: number): number => {
  let entropy = 0;
  for (const value of values) {
    if (value > 0) entropy -= (value / total) * Math.log(value / total);
  }
  return entropy;
};

/** Entropy of what the token at `row` gives to the tokens at `columns`, as if it saw only them. */
const entropyOver = (
  { weights, length }: AttentionMap,
  row: number,
  columns: readonly number[],
  mass: number,
): number =>
  entropyOf(
    columns.map((column) => weights[row * length + column]),
    mass,
  );

/**
 * Entropy of attention from each class over each class in one layer, in nats: each token's attention
 * within the class made to add up to 1, then averaged over the tokens that see any of it (figure 3; the
 * paper names neither the base of its logarithm nor the order of averages).
 */
export const entropyByClass = (map: AttentionMap, classes: readonly TokenClass[]): ByClass =>
  byClass(classes, (from, to) =>
    meanOverSeeing(map, from, to, (row, mass) => entropyOver(map, row, to, mass)),
  );

/** Mean entropy of the attention of each class's tokens over all that they see, in nats. */
export const totalEntropy = (
  map: AttentionMap,
  classes: readonly TokenClass[],
): Readonly<Record<TokenClass, number | null>> => {
  const all = classes.map((_, place) => place);
  const entropyFrom = (name: TokenClass): number | null => {
    const rows = all.filter((place) => classes[place] === name);
    return meanOverSeeing(map, rows, all, (row, mass) => entropyOver(map, row, all, mass));
  };
  return Object.fromEntries(tokenClasses.map((name) => [name, entropyFrom(name)])) as Record<
    TokenClass,
    number | null
  >;
};
