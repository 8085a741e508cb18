import { int64, type TensorData } from "../tensor-data.js";
import { ignoredLabel } from "../train/next-token-loss.js";

/** The labels [B, T] that a batch's judged tokens stand for: each stands behind the place that predicts it. */
export const assembledLabels = (
  feeds: Readonly<Record<string, TensorData>>,
  [batch, length]: readonly number[],
  suffix = "",
): TensorData<"int64"> => {
  const labels = new Array<number>(batch * length).fill(ignoredLabel);
  const targets = feeds["judged.targets"].data;
  feeds[`judged.places${suffix}`].data.forEach((place: number | bigint, index: number) => {
    labels[Number(place) + 1] = Number(targets[index]);
  });
  return int64([batch, length], labels);
};
