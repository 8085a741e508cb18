/**
 * The tokens that a loss judges. The decoder's last layer and its scores are needed at their places alone: where
 * a batch is mostly image and question, that spares most of both, and their memory.
 */
import { input, type Tensor } from "../graph/index.js";
import { float32, int64, type TensorData } from "../tensor-data.js";

/** Tokens whose likelihood is wanted, each by the place that predicts it; J of them in a batch of any shape. */
export type JudgedTokens = {
  /** Places whose next token is judged, of all rows one after the other (`row * T + place`), [J] int64. */
  readonly places: Tensor;
  /** The next token of each, [J] int64. */
  readonly targets: Tensor;
  /** What each counts in a mean, [J]. */
  readonly weights: Tensor;
};

type JudgedName = keyof JudgedTokens | "rows";
type JudgedValues = { readonly [Name in JudgedName]: TensorData };

const judged = (name: JudgedName, suffix = ""): Tensor =>
  input(`judged.${name}${suffix}`, name === "weights" ? "float32" : "int64", ["J"]);

/** Inputs of a graph, to be fed by `feedJudged`; `suffix` tells the places of one reading from another's. */
export const judgedTokens = (suffix = ""): JudgedTokens => ({
  places: judged("places", suffix),
  targets: judged("targets"),
  weights: judged("weights"),
});

/** The row that each judged token belongs to, [J] int64: an input of graphs that ask for it, fed beside the others. */
export const judgedRows = (): Tensor => judged("rows");

/**
 * The judged tokens of labels [B, T]: every label of 0 and above, by the place before it. A row's first label has no
 * such place. `weights` [B, T] are the labels' own; 1 by default, and a label of weight 0 is not judged. A batch without any
 * has one that weighs nothing, because runtimes disagree about tensors without elements.
 */
export const judgedOf = (
  labels: TensorData<"int64">,
  weights?: TensorData<"float32">,
): JudgedValues => {
  const [batch, length] = labels.shape;
  const found = { places: [] as number[], targets: [] as number[], weights: [] as number[] };
  const rows: number[] = [];
  const take = (row: number, place: number, target: number, weight: number): void => {
    found.places.push(row * length + place);
    found.targets.push(target);
    found.weights.push(weight);
    rows.push(row);
  };
  for (let row = 0; row < batch; row += 1) {
    for (let place = 0; place + 1 < length; place += 1) {
      const at = row * length + place + 1;
      const target = Number(labels.data[at]);
      const weight = weights === undefined ? 1 : Number(weights.data[at]);
      if (target >= 0 && weight !== 0) take(row, place, target, weight);
    }
  }
  if (rows.length === 0) take(0, 0, 0, 0);
  const whole = (values: readonly number[]): TensorData => int64([values.length], values);
  return {
    places: whole(found.places),
    targets: whole(found.targets),
    weights: float32([rows.length], found.weights),
    rows: whole(rows),
  };
};

/** What `judgedTokens` is fed with. */
export const feedJudged = (
  { places, targets, weights }: JudgedValues,
  suffix = "",
): Record<string, TensorData> => ({
  [`judged.places${suffix}`]: places,
  "judged.targets": targets,
  "judged.weights": weights,
});
