/** A prompt with its answer as one row of tokens: what the language model read and wrote. */
import { PromptError } from "../errors.js";
import type { GenerateRequest } from "../generate/answer.js";
import type { EncodedRequest, VisionLanguageModel } from "../generate/model.js";
import {
  locateVisualTokens,
  tokensPerPlaceholder,
  type VisualTokenOrigin,
} from "../systems/visual-token-origins.js";
import { float32, type TensorData } from "../tensor-data.js";
import { imagePlaceholderId } from "../text/image-placeholder.js";
import { createStreamingDecoder } from "../text/streaming-decoder.js";
import type { Tokenizer } from "../text/tokenizer.js";
import type { SequenceProbe } from "./sequence-probe.js";

/**
 * The classes that LLaVA-Mini's preliminary analysis tells apart (Zhang et al. 2025, arXiv 2501.03895,
 * section 3): all text of the prompt, system text and template included; visual tokens; answers,
 * earlier ones of the conversation too.
 */
export const tokenClasses = ["instruction", "vision", "response"] as const;
export type TokenClass = (typeof tokenClasses)[number];

export type SequenceToken = {
  readonly class: TokenClass;
  /** Absent for visual tokens. */
  readonly id?: number;
  /** What the token adds to the text; empty within a character, and for visual tokens. */
  readonly text: string;
  /** Index of the image that a visual token is of. */
  readonly image?: number;
  /** Where in the image a visual token comes from. */
  readonly origin?: VisualTokenOrigin;
};

export type AnsweredSequence = {
  /** The prompt, then the answer. */
  readonly tokens: readonly SequenceToken[];
  /** What the language model reads at each place, [1, T, D]. */
  readonly embeddings: TensorData<"float32">;
  /** Tokens of the prompt; token t of the answer is predicted at place `promptLength - 1 + t`. */
  readonly promptLength: number;
  readonly answerIds: readonly number[];
  /** The request as it was encoded. */
  readonly request: EncodedRequest;
};

/** Texts of ids one by one, so that they join to the whole text. */
const pieceTexts = (ids: readonly number[], tokenizer: Tokenizer): string[] => {
  const decoder = createStreamingDecoder(tokenizer);
  const pieces = ids.map((id) => decoder.push(id));
  const rest = decoder.finish();
  if (pieces.length > 0) pieces[pieces.length - 1] += rest;
  return pieces;
};

/** Visual tokens in the order of the placeholders that they stand at. */
const visualTokensOf = (
  { media, encoded }: EncodedRequest,
  { system: { config } }: VisionLanguageModel,
): SequenceToken[][] =>
  media.flatMap((item, image) => {
    if (item.kind === "video") {
      throw new PromptError(
        "readAnsweredSequence: what is looked into must be text and images, got a video; give its frames as images",
      );
    }
    const { choice, views } = item;
    const route = encoded.routes?.[image]?.[0];
    const origins = locateVisualTokens(config, views.plan, {
      ...(choice && { choice }),
      ...(route && { route }),
    });
    let first = 0;
    return tokensPerPlaceholder(config, origins).map((count) => {
      const own = origins.slice(first, first + count);
      first += count;
      return own.map((origin) => ({ class: "vision", text: "", image, origin }) as const);
    });
  });

/**
 * Encodes a request and puts an answer behind it, as generation does: answers enter the language model
 * as plain embeddings in every system. `answerIds`: an answer's `ids`, or any others to be judged.
 *
 * Throws what encoding throws, and `PromptError` for videos and for an answer without a token.
 */
export const readAnsweredSequence = async (
  model: VisionLanguageModel,
  probe: Pick<SequenceProbe, "embed">,
  request: GenerateRequest,
  answerIds: readonly number[],
): Promise<AnsweredSequence> => {
  if (answerIds.length === 0) {
    throw new PromptError(
      "readAnsweredSequence: an answer has at least one token, got none; pass an answer's ids",
    );
  }
  const encoded = await model.encode(request);
  const { ids, isAnswer } = encoded;
  const visual = visualTokensOf(encoded, model)[Symbol.iterator]();
  const textIds = ids.filter((id) => id !== imagePlaceholderId);
  const texts = pieceTexts(textIds, model.tokenizer)[Symbol.iterator]();
  const tokens: SequenceToken[] = ids.flatMap((id, place): readonly SequenceToken[] => {
    if (id === imagePlaceholderId) return visual.next().value ?? [];
    const text = texts.next().value ?? "";
    return [{ class: isAnswer[place] ? "response" : "instruction", id, text }];
  });
  const answerTexts = pieceTexts(answerIds, model.tokenizer);
  const answer = answerIds.map((id, index) => ({
    class: "response" as const,
    id,
    text: answerTexts[index],
  }));

  const prompt = encoded.encoded.embeddings;
  const [, promptLength, width] = prompt.shape;
  const written = await probe.embed(answerIds);
  const data = new Float32Array(prompt.data.length + written.length);
  data.set(prompt.data);
  data.set(written, prompt.data.length);
  return {
    tokens: [...tokens, ...answer],
    embeddings: float32([1, promptLength + answerIds.length, width], data),
    promptLength,
    answerIds,
    request: encoded,
  };
};

/** Places of a sequence's tokens for which `holds`. */
export const placesWhere = (
  { tokens }: Pick<AnsweredSequence, "tokens">,
  holds: (token: SequenceToken) => boolean,
): number[] => tokens.flatMap((token, place) => (holds(token) ? [place] : []));
