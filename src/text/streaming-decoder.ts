/**
 * Token ids to text as they are generated. A token may hold a part of a character, and the decoder's treatment of the
 * first token differs from the rest, so ids are decoded in windows that begin where decoding cannot look back.
 */
import { TokenizerError } from "../errors.js";
import type { Tokenizer } from "./tokenizer.js";

export type StreamingDecoder = {
  /** Takes the next id; returns the text that is now certain, often "". @throws TokenizerError for unknown ids. */
  readonly push: (id: number) => string;
  /** Ends the stream; returns what was held back, incomplete characters as U+FFFD like `decode`. */
  readonly finish: () => string;
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

/** Decoder steps whose only memory is a run of bytes, and whose first token is the only special one. */
const isStreamable = (decoder: unknown): boolean => {
  if (!isObject(decoder)) return false;
  switch (decoder.type) {
    case "ByteLevel":
    case "Metaspace":
    case "ByteFallback":
    case "Fuse":
      return true;
    case "Strip":
      return (decoder.stop ?? 0) === 0 && Number(decoder.start ?? 0) <= 1;
    // A pattern of one character cannot straddle tokens.
    case "Replace":
      return isObject(decoder.pattern) && [...String(decoder.pattern.String ?? "")].length === 1;
    case "Sequence":
      return Array.isArray(decoder.decoders) && decoder.decoders.every(isStreamable);
    default:
      return false;
  }
};

const isByteToken = (token: string | undefined): boolean => /^<0x[0-9A-F]{2}>$/.test(token ?? "");

/** A token of plain text; put in front of a window, it takes the treatment that only a first token gets. */
const findGuard = (tokenizer: Tokenizer): { id: number; text: string } => {
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    if (tokenizer.isSpecial(id) || !/^[A-Za-z]+$/.test(tokenizer.tokenOf(id) ?? "")) continue;
    const text = tokenizer.decode([id]);
    if (text === tokenizer.tokenOf(id)) return { id, text };
  }
  throw new TokenizerError(
    "createStreamingDecoder: the vocabulary must hold a token of plain letters, got none. Decode the whole sequence instead.",
  );
};

/**
 * Starts a stream. Law: all pieces joined are `tokenizer.decode(ids, { skipSpecialTokens })`, and no piece ends inside
 * a character.
 *
 * @throws TokenizerError for decoders that cannot be streamed (WordPiece, CTC and other word-joining ones).
 */
export const createStreamingDecoder = (
  tokenizer: Tokenizer,
  { skipSpecialTokens = false }: { skipSpecialTokens?: boolean } = {},
): StreamingDecoder => {
  const { decoderJson } = tokenizer;
  if (!isStreamable(decoderJson))
    throw new TokenizerError(
      `createStreamingDecoder: the decoder must be byte-level or SentencePiece-like, got ${JSON.stringify(decoderJson)?.slice(0, 120)}. Decode the whole sequence instead.`,
    );
  const guard = findGuard(tokenizer);
  /** Ids since the last place where a window may begin. */
  let open: number[] = [];
  /** Characters of the open window's text that were returned already. */
  let returned = 0;
  let begun = false;

  const textOfWindow = (): string => {
    if (open.length === 0) return "";
    if (!begun) return tokenizer.decode(open);
    return tokenizer.decode([guard.id, ...open]).slice(guard.text.length);
  };

  return {
    push: (id) => {
      if (skipSpecialTokens && tokenizer.isSpecial(id)) return "";
      open.push(id);
      let text: string;
      try {
        text = textOfWindow();
      } catch (error) {
        open.pop();
        throw error;
      }
      // A trailing U+FFFD may be a character that is still arriving.
      const certain = text.replace(/\uFFFD+$/, "");
      const piece = certain.slice(returned);
      returned = Math.max(returned, certain.length);
      // The next window may begin here once nothing is pending, but not inside a run of byte tokens: a run is decoded as
      // a whole, and loses a byte order mark only at its start.
      const settled = certain.length === text.length && !isByteToken(tokenizer.tokenOf(id));
      if (settled) {
        begun = true;
        open = [];
        returned = 0;
      }
      return piece;
    },
    finish: () => {
      const rest = textOfWindow().slice(returned);
      open = [];
      returned = 0;
      begun = false;
      return rest;
    },
  };
};
