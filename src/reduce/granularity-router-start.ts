/** Where a router's votes start when it is trained on a model of its own. */
import type { GranularityRouterConfig } from "./granularity-router.js";

/**
 * First weights of the slots' votes, [slots], ours: the tokens of each granularity weigh 1 together, and so
 * does a text token.
 *
 * Released is a random weight for each slot. Then most of the sum is patches, which say the same for every question about an
 * image; and as text is in order of likeness to the image, a word's vote comes with another sign in every sample, so that
 * what was asked can hardly be learned from it (LOG.md).
 */
export const evenVotes = ({
  granularities,
  filteredTokens,
}: Pick<GranularityRouterConfig, "granularities" | "filteredTokens">): Float32Array =>
  Float32Array.from([
    ...granularities.flatMap(({ tokens }) => Array.from({ length: tokens }, () => 1 / tokens)),
    ...Array.from({ length: filteredTokens }, () => 1),
  ]);
