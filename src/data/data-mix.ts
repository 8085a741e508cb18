/** Several datasets as one, each whole or in part (LLaVA-Mini's and LLaVA-NeXT's `sampling_strategy`). */
import { OptionsError } from "../errors.js";
import { permute } from "./permutation.js";
import { concatSamples, type SampleReader, selectSamples } from "./sample-reader.js";

/** `all`, `first:N`, `end:N` or `random:N`; N is a count, or a share such as `10%`, rounded up. */
export type SamplingStrategy = string;

type Part = { readonly from: "first" | "end" | "random"; readonly count: number };

const parseStrategy = (strategy: SamplingStrategy, numRecords: number): Part | undefined => {
  if (strategy === "all") return undefined;
  const match = /^(first|end|random):(\d+(?:\.\d+)?)(%?)$/.exec(strategy);
  const from = match?.[1] as Part["from"] | undefined;
  const amount = Number(match?.[2]);
  const isShare = match?.[3] === "%";
  // Rounded to 1e-9 first: 10 % of 30 is 3, not 4 by a rounding error.
  const count = isShare ? Math.ceil(Number(((numRecords * amount) / 100).toFixed(9))) : amount;
  if (from === undefined || !Number.isSafeInteger(count) || count === 0)
    throw new OptionsError(
      `sampleReader: sampling must be all, first:N, end:N or random:N with N above 0 or a share such as 10%, got ${JSON.stringify(strategy)}. Write it so.`,
    );
  if (count > numRecords)
    throw new OptionsError(
      `sampleReader: sampling must take at most the ${numRecords} records that are there, got ${JSON.stringify(strategy)}. Use all, or a smaller number.`,
    );
  return { from, count };
};

/**
 * The records that `strategy` takes, `random` by `seed`, without repeats. The count of bad ones among them is not known
 * before they are read.
 *
 * @throws OptionsError for another strategy, or more records than there are (the reference takes fewer without a word).
 */
export const sampleReader = (
  reader: SampleReader,
  strategy: SamplingStrategy,
  seed: number,
): SampleReader => {
  const part = parseStrategy(strategy, reader.length);
  if (part === undefined) return reader;
  const { from, count } = part;
  if (from === "random") {
    const indices = permute(reader.length, [seed]).slice(0, count);
    return selectSamples(reader, indices, `${strategy}, seed ${seed}`);
  }
  const start = from === "first" ? 0 : reader.length - count;
  const indices = Uint32Array.from({ length: count }, (_, at) => start + at);
  return selectSamples(reader, indices, strategy);
};

/** One reader of all `entries` in order. Each random part has its own order, also where two have the same length. */
export const mixReaders = (
  entries: readonly { readonly reader: SampleReader; readonly sampling?: SamplingStrategy }[],
  seed: number,
): SampleReader => {
  if (entries.length === 0)
    throw new OptionsError("mixReaders: a mix must have a dataset, got none. Name one.");
  return concatSamples(
    entries.map(({ reader, sampling = "all" }, at) => sampleReader(reader, sampling, seed + at)),
  );
};
