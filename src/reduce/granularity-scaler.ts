/**
 * AVG-LLaVA's visual granularity scaler (Lan et al. 2024, arXiv 2410.02745, section 3.1): the tokens
 * of a view, averaged over ever larger cells of its grid. It has no parameters.
 *
 * The paper halves again and again, columns and rows in turn (24×24 → 24×12 → 12×12 → …); the released
 * code pools once for each granularity. Averages of equal-sized averages are the same average, so both
 * forms differ by rounding alone.
 */
import { OptionsError } from "../errors.js";
import { mean, multiplyDims, reshape, type Tensor } from "../graph/index.js";

/** Rows and columns of a grid of tokens. */
export type TokenGrid = { readonly rows: number; readonly columns: number };

/** One fineness at which a view may be seen. */
export type Granularity = {
  /** Tokens of a view. */
  readonly tokens: number;
  /** Their grid. */
  readonly grid: TokenGrid;
};

const formatGrid = ({ rows, columns }: TokenGrid): string => `${rows}x${columns}`;

/** Cells of `ratio` tokens each: squares, or twice as wide as high. */
const planCell = (ratio: number): TokenGrid | undefined => {
  const side = Math.sqrt(ratio);
  if (Number.isInteger(side)) return { rows: side, columns: side };
  const rows = Math.sqrt(ratio / 2);
  return Number.isInteger(rows) ? { rows, columns: 2 * rows } : undefined;
};

/**
 * The grids that tokens of `grid` are pooled to. `granularities` are tokens per view, ascending.
 * Throws `OptionsError` for a list that is empty or not ascending, and for a count whose cells (squares,
 * or twice as wide as high) do not fill the grid.
 */
export const planGranularities = (
  granularities: readonly number[],
  grid: TokenGrid,
): Granularity[] => {
  const isAscending = granularities.every(
    (tokens, index) =>
      Number.isInteger(tokens) && tokens > (index === 0 ? 0 : granularities[index - 1]),
  );
  if (granularities.length === 0 || !isAscending) {
    throw new OptionsError(
      `planGranularities: granularities must be whole numbers of tokens in ascending order, each once, got [${granularities.join(", ")}]; sort them`,
    );
  }
  const numTokens = grid.rows * grid.columns;
  return granularities.map((tokens) => {
    const cell = planCell(numTokens / tokens);
    if (cell === undefined || grid.rows % cell.rows !== 0 || grid.columns % cell.columns !== 0) {
      throw new OptionsError(
        `planGranularities: cells must be squares, or twice as wide as high, that fill a view's grid of ${formatGrid(grid)}, got ${tokens} of ${numTokens} tokens; choose among ${possibleGranularities(grid).join(", ")}`,
      );
    }
    return {
      tokens,
      grid: { rows: grid.rows / cell.rows, columns: grid.columns / cell.columns },
    };
  });
};

/** Every number of tokens that a grid can be pooled to, ascending. */
export const possibleGranularities = ({ rows, columns }: TokenGrid): number[] => {
  const found = new Set<number>();
  for (let height = 1; height <= rows; height += 1) {
    for (const width of [height, 2 * height]) {
      if (rows % height === 0 && columns % width === 0) {
        found.add((rows / height) * (columns / width));
      }
    }
  }
  return [...found].sort((a, b) => a - b);
};

/** Averages over cells. x [..., N, D] on `from` → [..., M, D] on `to`. */
const averagePool = (x: Tensor, from: TokenGrid, to: TokenGrid): Tensor => {
  const leading = x.shape.slice(0, -2);
  const width = x.shape[x.rank - 1];
  const cell = { rows: from.rows / to.rows, columns: from.columns / to.columns };
  let pooled = x;
  if (cell.columns > 1) {
    const cells = multiplyDims(...leading, from.rows, to.columns);
    pooled = mean(reshape(pooled, [cells, cell.columns, width]), [1]);
  }
  if (cell.rows > 1) {
    // Rows of a cell lie a whole row of the grid apart: as many elements as a row of `to` has.
    const bands = multiplyDims(...leading, to.rows);
    pooled = mean(reshape(pooled, [bands, cell.rows, multiplyDims(to.columns, width)]), [1]);
  }
  return reshape(pooled, [...leading, to.rows * to.columns, width]);
};

export type GranularityScalerOptions = {
  /** `direct`: each from the full grid (released); `halving`: each from the next finer one (paper). */
  readonly form?: "direct" | "halving";
};

/**
 * Pools views to every granularity. x [..., N, D], N the tokens of `grid` in raster order → one
 * [..., g, D] for each, in the order given.
 */
export const granularityScaler = (
  x: Tensor,
  grid: TokenGrid,
  granularities: readonly Granularity[],
  { form = "direct" }: GranularityScalerOptions = {},
): Tensor[] => {
  if (form === "direct") return granularities.map((to) => averagePool(x, grid, to.grid));
  const pooled: Tensor[] = [];
  let [finer, finerGrid] = [x, grid];
  for (const to of [...granularities].reverse()) {
    finer = halve(finer, finerGrid, to.grid);
    finerGrid = to.grid;
    pooled.unshift(finer);
  }
  return pooled;
};

/** Halves columns and rows in turn until `to` is reached. Throws `OptionsError` where it never is. */
const halve = (x: Tensor, from: TokenGrid, to: TokenGrid): Tensor => {
  let [pooled, grid] = [x, from];
  while (grid.rows !== to.rows || grid.columns !== to.columns) {
    const byColumns = grid.columns / to.columns >= grid.rows / to.rows;
    const next = byColumns
      ? { rows: grid.rows, columns: grid.columns / 2 }
      : { rows: grid.rows / 2, columns: grid.columns };
    if (next.rows % to.rows !== 0 || next.columns % to.columns !== 0) {
      throw new OptionsError(
        `granularityScaler: halving must lead from ${formatGrid(from)} to ${formatGrid(to)}, got stuck at ${formatGrid(grid)}; use the form "direct"`,
      );
    }
    pooled = averagePool(pooled, grid, next);
    grid = next;
  }
  return pooled;
};
