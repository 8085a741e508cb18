import type { Decoder } from "../generate/decoder.js";
import { largestIndex } from "../generate/sampling.js";
import type { Encoder, MediaInput } from "../systems/encoder.js";

/** The most likely `count` tokens after a prompt, and the scores of each, by the parts that answer. */
export const decodeGreedily = async (
  encoder: Encoder,
  decoder: Decoder,
  { ids, media }: { ids: readonly number[]; media: readonly MediaInput[] },
  count: number,
): Promise<{ ids: number[]; logits: Float32Array[] }> => {
  const { embeddings } = await encoder.encodePrompt(ids, media);
  const cache = await decoder.createCache(1, embeddings.shape[1] + count);
  const logits: Float32Array[] = [];
  const chosen: number[] = [];
  let scores = await decoder.prefill(cache, 0, embeddings);
  while (chosen.length < count) {
    logits.push(scores.slice());
    chosen.push(largestIndex(scores));
    if (chosen.length < count) [scores] = await decoder.step(cache, [chosen[chosen.length - 1]]);
  }
  await decoder.releaseCache(cache);
  return { ids: chosen, logits };
};
