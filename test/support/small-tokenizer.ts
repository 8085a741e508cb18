/**
 * Makes the small tokenizer of the tests and demos, committed in test/fixtures/tokenizer: byte-level BPE with 256 bytes,
 * 51 merges and special tokens like Llama-3's, at most 320 entries, so that a model with 320 words fits.
 * The test "the fixture is what its generator makes" compares; `npx vitest run test/text -u` writes it anew.
 */

/** GPT-2's order and spelling of the 256 bytes: printable ones as themselves, the others shifted past U+00FF. */
const byteTokens = (): string[] => {
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const printable = [...range(0x21, 0x7e), ...range(0xa1, 0xac), ...range(0xae, 0xff)];
  const others = range(0, 255).filter((byte) => !printable.includes(byte));
  return [...printable, ...others.map((_, at) => 0x100 + at)].map((code) =>
    String.fromCharCode(code),
  );
};

/** What the demos talk about; only letters are merged, each word with the space in front of it. */
const corpus =
  "What is in the image? What is on the left of the red ball? What colour is the small sign? The sign is red. " +
  "How many cats are in the picture? There are three cats and one dog. What number is on the sign? What does it say? " +
  "Is there a dog to the right of the tree? The tree is to the left of the dog. How many are there in the image?";

/** Byte-pair encoding as it was first described: join the most frequent pair of neighbours, again and again. */
const trainMerges = (numMerges: number): string[] => {
  const words = (corpus.match(/ ?[A-Za-z]+/g) ?? []).map((word) => [...word.replace(" ", "Ġ")]);
  return Array.from({ length: numMerges }, () => {
    const counts = new Map<string, number>();
    for (const word of words)
      for (const [at, left] of word.slice(0, -1).entries()) {
        const pair = `${left} ${word[at + 1]}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    // Equal counts go by spelling, so that the result does not depend on the order of the map.
    const [[best]] = [...counts].sort(
      ([a, countA], [b, countB]) => countB - countA || (a < b ? -1 : 1),
    );
    for (const word of words)
      for (let at = 0; at < word.length - 1; at++)
        if (`${word[at]} ${word[at + 1]}` === best) word.splice(at, 2, word[at] + word[at + 1]);
    return best;
  });
};

const merges = trainMerges(51);

const specials = [
  "<|begin_of_text|>",
  "<|end_of_text|>",
  "<|start_header_id|>",
  "<|end_header_id|>",
  "<|eot_id|>",
  "<|finetune_right_pad_id|>",
];

/** Meta's first Llama-3 chat template, which closes with the assistant's header whenever it is asked for an answer. */
const chatTemplate =
  "{% for message in messages %}" +
  "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}" +
  "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}";

/** Llama-3's split of a text into words. */
const wordPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The three files, by name. */
export const buildSmallTokenizer = () => {
  const words = [...byteTokens(), ...merges.map((merge) => merge.replace(" ", ""))];
  const idOf = (token: string) => words.length + specials.indexOf(token);
  const [bos] = specials;
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: specials.map((content) => ({
        id: idOf(content),
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      normalizer: null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: wordPattern }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: {
        type: "Sequence",
        processors: [
          { type: "ByteLevel", add_prefix_space: true, trim_offsets: false, use_regex: true },
          {
            type: "TemplateProcessing",
            single: [
              { SpecialToken: { id: bos, type_id: 0 } },
              { Sequence: { id: "A", type_id: 0 } },
            ],
            pair: [
              { SpecialToken: { id: bos, type_id: 0 } },
              { Sequence: { id: "A", type_id: 0 } },
              { SpecialToken: { id: bos, type_id: 1 } },
              { Sequence: { id: "B", type_id: 1 } },
            ],
            special_tokens: { [bos]: { id: bos, ids: [idOf(bos)], tokens: [bos] } },
          },
        ],
      },
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: true,
        vocab: Object.fromEntries(words.map((token, id) => [token, id])),
        merges,
      },
    },
    "tokenizer_config.json": {
      added_tokens_decoder: Object.fromEntries(
        specials.map((content) => [
          idOf(content),
          {
            content,
            lstrip: false,
            normalized: false,
            rstrip: false,
            single_word: false,
            special: true,
          },
        ]),
      ),
      bos_token: bos,
      chat_template: chatTemplate,
      clean_up_tokenization_spaces: false,
      eos_token: "<|eot_id|>",
      model_input_names: ["input_ids", "attention_mask"],
      model_max_length: 2048,
      pad_token: "<|finetune_right_pad_id|>",
      tokenizer_class: "PreTrainedTokenizerFast",
    },
    "special_tokens_map.json": {
      bos_token: bos,
      eos_token: "<|eot_id|>",
      pad_token: "<|finetune_right_pad_id|>",
    },
  };
};
