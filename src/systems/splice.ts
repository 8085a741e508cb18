/**
 * Putting visual tokens into a prompt: every row that the language model reads is looked up in one
 * matrix `[text rows | visual rows | a zero row]`. What goes where is a plan made from ids and counts
 * alone; the graph only gathers, so inference and training assemble alike.
 */
import { PromptError } from "../errors.js";
import { concat, constant, gatherRows, Tensor } from "../graph/index.js";
import { bool, float32, int64, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";

export type SplicePlan = {
  /** Row of the joint matrix for every place, [B, T] int64. */
  readonly index: TensorData<"int64">;
  /** Whether a place holds a token, [B, T]; padding follows on the right. */
  readonly mask: TensorData<"bool">;
  /** Tokens of each sample. */
  readonly lengths: readonly number[];
};

export type SpliceSample = {
  /** Token ids with `imagePlaceholderId` where an image or video goes. */
  readonly ids: readonly number[];
  /** Visual rows of each placeholder in order, as indices into the visual matrix. */
  readonly visualRows: readonly (readonly number[])[];
  /** Places of `ids` that are padding and left out. */
  readonly isPadding?: readonly boolean[];
};

/**
 * Lays out a batch. Text row `b·L + i` is place i of sample b, L being `textStride`; visual rows come
 * after all text rows. Rows are padded to the longest, or to `paddedLength`. Throws `PromptError` when placeholders and images disagree.
 */
export const planSplice = (
  samples: readonly SpliceSample[],
  textStride: number,
  numVisualRows: number,
  paddedLength = 0,
): SplicePlan => {
  const firstVisual = samples.length * textStride;
  const rows = samples.map(({ ids, visualRows, isPadding }, sampleIndex) => {
    const row: number[] = [];
    let used = 0;
    ids.forEach((id, place) => {
      if (isPadding?.[place]) return;
      if (id !== imagePlaceholderId) {
        row.push(sampleIndex * textStride + place);
        return;
      }
      const visual = visualRows[used];
      used += 1;
      for (const index of visual ?? []) row.push(firstVisual + index);
    });
    if (used !== visualRows.length) {
      throw new PromptError(
        `planSplice: the prompt has ${used} image placeholders for ${visualRows.length} images or videos; give one for each`,
      );
    }
    return row;
  });
  const length = Math.max(paddedLength, ...rows.map((row) => row.length));
  const zeroRow = firstVisual + numVisualRows;
  const padded = rows.flatMap((row) => [
    ...row,
    ...new Array<number>(length - row.length).fill(zeroRow),
  ]);
  return {
    index: int64([samples.length, length], padded),
    mask: bool(
      [samples.length, length],
      rows.flatMap((row) => Array.from({ length }, (_, place) => place < row.length)),
    ),
    lengths: rows.map((row) => row.length),
  };
};

/**
 * text [R, D], visual [M, D] or none, learned rows after them [1, D] each, index [B, T] → [B, T, D].
 */
export const spliceEmbeddings = (
  text: Tensor,
  visual: Tensor | readonly Tensor[],
  index: Tensor,
  learnedRows: readonly Tensor[] = [],
): Tensor => {
  const width = Number(text.shape[1]);
  const zeroRow = constant(float32([1, width], new Float32Array(width)));
  const visualRows = visual instanceof Tensor ? [visual] : visual;
  return gatherRows(concat([text, ...visualRows, ...learnedRows, zeroRow], 0), index);
};
