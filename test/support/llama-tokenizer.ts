import reference from "llama-tokenizer-js";

/** The independent implementation that the vocabulary below was taken from; its ids equal SentencePiece's. */
export const referenceEncode = (text: string): number[] => reference.encode(text);

/** Legacy merges of the vocabulary, in order of priority. */
const merges = [...reference.merges.keys()];

/**
 * The `tokenizer.json` of LLaMA, Llama-2 and Vicuna: vocabulary and merges from llama-tokenizer-js, the other parts as
 * the published files have them (SentencePiece as BPE with byte fallback, a "▁" in front, a BOS by template).
 */
export const llamaTokenizerJson = () => ({
  version: "1.0",
  added_tokens: ["<unk>", "<s>", "</s>"].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  })),
  normalizer: {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  },
  pre_tokenizer: null,
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    pair: [
      { SpecialToken: { id: "<s>", type_id: 0 } },
      { Sequence: { id: "A", type_id: 0 } },
      { SpecialToken: { id: "<s>", type_id: 1 } },
      { Sequence: { id: "B", type_id: 1 } },
    ],
    special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
  },
  decoder: {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  },
  model: {
    type: "BPE",
    unk_token: "<unk>",
    fuse_unk: true,
    byte_fallback: true,
    vocab: Object.fromEntries(reference.vocabById.map((token, id) => [token, id])),
    merges,
  },
});

/** As in Vicuna's `tokenizer_config.json`. */
export const llamaTokenizerConfig = {
  bos_token: { content: "<s>" },
  eos_token: { content: "</s>" },
  pad_token: null,
  clean_up_tokenization_spaces: false,
  tokenizer_class: "LlamaTokenizer",
};
