/** What each token of an answer looked at: attention over visual tokens, layer by layer. */
import { type AnsweredSequence, placesWhere } from "./answered-sequence.js";
import { attentionMass } from "./attention-by-class.js";
import { answerWithHidden, type HiddenAnswer } from "./hidden-answer.js";
import type { AttentionMap, SequenceProbe } from "./sequence-probe.js";

/**
 * Attention over all visual tokens, in their order, of the place that predicts each token of the
 * answer: the last token of the prompt for the first, else the token before. [layers][answer][visual],
 * mean over heads; a row adds up to the share of attention that goes to vision.
 */
export const visualAttention = (
  maps: readonly AttentionMap[],
  sequence: AnsweredSequence,
): number[][][] => {
  const visual = placesWhere(sequence, (token) => token.class === "vision");
  return maps.map(({ weights, length }) =>
    sequence.answerIds.map((_, index) => {
      const row = sequence.promptLength - 1 + index;
      return visual.map((column) => weights[row * length + column]);
    }),
  );
};

/** What one view of an image was to an answer. */
export type ViewUse = {
  readonly image: number;
  readonly view: number;
  readonly numTokens: number;
  /** Attention that the answer's tokens gave to the view, a mean over them, for each layer. */
  readonly attention: readonly number[];
  /** The answer where the view's tokens are hidden in all layers. */
  readonly hidden: HiddenAnswer;
};

/**
 * Which views an answer used, in two ways that need no gradient: the attention that goes to each, and
 * what is lost when it is hidden (occlusion; Zeiler and Fergus 2014, arXiv 1311.2901, section 4.2). Of
 * views with tokens of their own: LLaVA-Mini's are made of all views together.
 */
export const measureViewUse = async (
  probe: SequenceProbe,
  sequence: AnsweredSequence,
  maps: readonly AttentionMap[],
): Promise<ViewUse[]> => {
  const rows = sequence.answerIds.map((_, index) => sequence.promptLength - 1 + index);
  const used: ViewUse[] = [];
  for (const [image, item] of sequence.request.media.entries()) {
    const numViews = item.kind === "image" ? item.views.plan.views.length : 0;
    for (let view = 0; view < numViews; view += 1) {
      const places = placesWhere(
        sequence,
        (token) => token.image === image && token.origin?.view === view,
      );
      if (places.length === 0) continue;
      const own = new Set(places);
      used.push({
        image,
        view,
        numTokens: places.length,
        attention: maps.map(
          (map) =>
            rows.reduce((sum, row) => sum + attentionMass(map, row, places), 0) / rows.length,
        ),
        hidden: await answerWithHidden(probe, sequence, (_, place) => own.has(place)),
      });
    }
  }
  return used;
};
