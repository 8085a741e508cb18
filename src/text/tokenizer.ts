/**
 * Text to token ids and back, from a model's own `tokenizer.json`, by `@huggingface/tokenizers`. What that library
 * leaves to chance (unknown ids, empty input, missing files) is decided here.
 */
import { Tokenizer as LibraryTokenizer } from "@huggingface/tokenizers";
import { TokenizerError } from "../errors.js";

type JsonObject = { readonly [key: string]: unknown };

/** The files of a model folder that concern its tokenizer, as parsed JSON. */
export type TokenizerFiles = {
  readonly tokenizerJson: JsonObject;
  readonly tokenizerConfig?: JsonObject;
  readonly specialTokensMap?: JsonObject;
  /** Its `eos_token_id` may list more ids that end an answer. */
  readonly generationConfig?: JsonObject;
};

export type EncodeOptions = {
  /** Whether the tokenizer adds its own tokens, such as a BOS; default true. */
  readonly addSpecialTokens?: boolean;
};

export type DecodeOptions = {
  /** Leave special tokens out of the text; default false. */
  readonly skipSpecialTokens?: boolean;
  /**
   * Remove spaces in front of punctuation, as transformers does where `clean_up_tokenization_spaces` is set. Default
   * false: it changes what the model wrote (" ," becomes ","), and a stream cannot be cleaned up afterwards.
   */
  readonly cleanUpSpaces?: boolean;
};

export type Tokenizer = {
  /** @throws TokenizerError where the vocabulary cannot express the text. */
  readonly encode: (text: string, options?: EncodeOptions) => number[];
  /** @throws TokenizerError for an id outside of the vocabulary. */
  readonly decode: (ids: readonly number[], options?: DecodeOptions) => string;
  /** Largest id plus one. */
  readonly vocabularySize: number;
  readonly bosId?: number;
  readonly eosId?: number;
  readonly padId?: number;
  readonly bosToken?: string;
  readonly eosToken?: string;
  readonly padToken?: string;
  /** Every id that ends an answer: the EOS token and those of generation_config.json, ascending. */
  readonly eosIds: readonly number[];
  /** Content of all special tokens: text that must not come from users unnoticed. */
  readonly specialTokens: readonly string[];
  readonly isSpecial: (id: number) => boolean;
  readonly idOf: (token: string) => number | undefined;
  readonly tokenOf: (id: number) => string | undefined;
  /** The decoder part of tokenizer.json, which streaming has to understand. */
  readonly decoderJson: unknown;
};

const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What we use of the library; its own types do not resolve under Node's module rules. */
type Library = {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] };
  decode(ids: number[], options: { clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
  get_added_tokens_decoder(): Map<number, { content: string; special: boolean }>;
};

/** A special token's content: settings give a text or an object that holds one. */
const contentOf = (value: unknown): string | undefined => {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
};

const createLibraryTokenizer = (json: JsonObject, config: JsonObject): Library => {
  if (!isObject(json.model) || !Array.isArray(json.added_tokens))
    throw new TokenizerError(
      "createTokenizer: tokenizer.json must hold a model and added_tokens, got neither or one of them. Fetch the file again.",
    );
  // The library takes a model of an unknown type for an old one and misreads it.
  const { type } = json.model;
  if (type !== undefined && !["BPE", "Unigram", "WordPiece"].includes(String(type)))
    throw new TokenizerError(
      `createTokenizer: the model of tokenizer.json must be BPE, Unigram or WordPiece, got ${JSON.stringify(type)}. Use a model with one of these.`,
    );
  try {
    return new LibraryTokenizer(json, config);
  } catch (cause) {
    throw new TokenizerError(
      `createTokenizer: tokenizer.json must be one that can be used, got: ${cause instanceof Error ? cause.message : String(cause)}. Save it again with a current transformers, or fetch it again.`,
      { cause },
    );
  }
};

/**
 * Makes a tokenizer from a model's files.
 *
 * @throws TokenizerError where a file cannot be used or names a special token that the vocabulary lacks.
 */
export const createTokenizer = (files: TokenizerFiles): Tokenizer => {
  const {
    tokenizerJson,
    tokenizerConfig = {},
    specialTokensMap = {},
    generationConfig = {},
  } = files;
  if (!isObject(tokenizerJson) || !isObject(tokenizerConfig))
    throw new TokenizerError(
      "createTokenizer: tokenizer.json and tokenizer_config.json must hold JSON objects, got something else. Pass the parsed files.",
    );
  const library = createLibraryTokenizer(tokenizerJson, tokenizerConfig);
  const added = library.get_added_tokens_decoder();
  const special = new Map([...added].filter(([, token]) => token.special));
  let vocabularySize = 0;
  for (const id of library.get_vocab().values()) vocabularySize = Math.max(vocabularySize, id + 1);

  const role = (name: "bos" | "eos" | "pad") => {
    const key = `${name}_token`;
    const token = contentOf(tokenizerConfig[key]) ?? contentOf(specialTokensMap[key]);
    if (token === undefined) return {};
    const id = library.token_to_id(token);
    if (id === undefined)
      throw new TokenizerError(
        `createTokenizer: ${key} must be in the vocabulary, got ${JSON.stringify(token)}. Check that tokenizer_config.json belongs to tokenizer.json.`,
      );
    return { [`${name}Token`]: token, [`${name}Id`]: id };
  };
  const eos: { eosId?: number } = role("eos");
  const listed = [generationConfig.eos_token_id ?? []].flat();
  const eosIds = new Set(eos.eosId === undefined ? [] : [eos.eosId]);
  for (const id of listed) {
    if (!Number.isSafeInteger(id) || Number(id) < 0)
      throw new TokenizerError(
        `createTokenizer: eos_token_id of generation_config.json must hold token ids, got ${JSON.stringify(id)}. Fix the file.`,
      );
    eosIds.add(Number(id));
  }

  return {
    ...role("bos"),
    ...eos,
    ...role("pad"),
    encode: (text, { addSpecialTokens = true } = {}) => {
      const { ids } = library.encode(text, { add_special_tokens: addSpecialTokens });
      return ids.map((id, at) => {
        if (id !== undefined) return id;
        throw new TokenizerError(
          `encode: the vocabulary must express the text, got an unknown piece at token ${at}. Use the tokenizer that belongs to the model.`,
        );
      });
    },
    decode: (ids, { skipSpecialTokens = false, cleanUpSpaces = false } = {}) => {
      const unknown = ids.find((id) => library.id_to_token(id) === undefined);
      if (unknown !== undefined)
        throw new TokenizerError(
          `decode: token ids must be below ${vocabularySize} and in the vocabulary, got ${unknown}. Pass ids of this tokenizer (image placeholders have no text).`,
        );
      const kept = skipSpecialTokens ? ids.filter((id) => !special.has(id)) : [...ids];
      // The library refuses empty input.
      if (kept.length === 0) return "";
      return library.decode(kept, { clean_up_tokenization_spaces: cleanUpSpaces });
    },
    vocabularySize,
    eosIds: [...eosIds].sort((a, b) => a - b),
    specialTokens: [...special.values()].map(({ content }) => content),
    isSpecial: (id) => special.has(id),
    idOf: (token) => library.token_to_id(token),
    tokenOf: (id) => library.id_to_token(id),
    decoderJson: tokenizerJson.decoder ?? null,
  };
};
