/**
 * The words of Scenes, and a tokenizer for small models made of them: the files of a Hugging Face folder, loaded by
 * `createTokenizer` and by transformers.
 *
 * - Every word of a question, answer or description is one token, with the space in front of it. Words that may begin a
 *   text or a line have a second token without it.
 * - A regular plural is its singular and an "s", so that "cats" in a question and "cat" in an image share a token.
 * - Digits, punctuation and the letters of codes are bytes of their own. Whatever else a text holds is spelled in bytes:
 *   nothing is unknown.
 * - `<unk>`, `<s>`, `</s>` have LLaMA's ids 0, 1, 2; the chat template is vicuna_v1, whose words are tokens too.
 * - The markers that LLaVA-UHD puts around images and slices are special tokens. They stand where bytes would that
 *   occur in no UTF-8 text, so that models of every system have the same vocabulary and can start from each other.
 */
import { unknownMarkers } from "../../text/slice-layout.js";
import { categories, objectClasses, shapeNames, shapePlurals } from "./object-classes.js";
import { colourNames } from "./palette.js";
import { cardWords, people, placeWords, weekdays } from "./words.js";

/** Words of the templates that may stand first in a text or a line, capitalised. */
const openingWords =
  "A An Anna Are Ben Clara David Describe Emma Felix First Grace Henry How Iris Is Jack Nothing The Then " +
  "What Where Which Who USER";

/** The other words of questions, answers and descriptions. */
const innerWords =
  "a above after an and animal are at background bar be before behind below bottom building card centre clip code " +
  "colour comes costs different directly disappears does down empty first from happens has have image in is it item " +
  "items kind largest last left many middle move moves much no nothing number object objects of on others point " +
  "points receipt right same say says shape shapes shortest shown shows sign smallest tallest the there this tile " +
  "to top total under up value way word yes appears grows shrinks";

/** The system text of vicuna_v1, the roles, and the request for a description. */
const chatWords =
  "chat between curious user and artificial intelligence assistant The assistant gives helpful detailed polite " +
  "answers questions USER ASSISTANT video";

const split = (words: string): string[] => words.split(" ");

const nouns: readonly { readonly name: string; readonly plural: string }[] = [
  ...objectClasses,
  ...shapeNames.map((name) => ({ name, plural: shapePlurals[name] })),
];
const regularNouns = nouns.filter(({ name, plural }) => plural === `${name}s`);
const otherPlurals = nouns.flatMap(({ name, plural }) =>
  plural === name || plural === `${name}s` ? [] : [plural],
);

/** Words that follow a space, sorted. */
export const sceneWords: readonly string[] = [
  ...new Set([
    ...nouns.map(({ name }) => name),
    ...otherPlurals,
    ...colourNames,
    ...categories.filter((category) => category !== "other"),
    ...placeWords,
    ...cardWords,
    ...people,
    ...weekdays,
    ...split(openingWords),
    ...split(innerWords),
    ...split(chatWords),
  ]),
].sort();

const { imageId, image, slice } = unknownMarkers;
const markers = [...image, ...slice, ...imageId];

/** In place of the first bytes that UTF-8 never has (RFC 3629, section 1): C0, C1, F5 and above. */
const placeMarkers = (bytes: readonly number[], spelled: readonly string[]): string[] => {
  const free = bytes.flatMap((byte, at) =>
    byte === 0xc0 || byte === 0xc1 || byte >= 0xf5 ? [at] : [],
  );
  return spelled.map((text, at) => markers[free.indexOf(at)] ?? text);
};

/**
 * GPT-2's order and spelling of the 256 bytes, printable ones as themselves, the others shifted past U+00FF; and the
 * markers among them.
 */
const byteTokens = (): string[] => {
  const range = (from: number, to: number) =>
    Array.from({ length: to - from + 1 }, (_, at) => from + at);
  const printable = [...range(0x21, 0x7e), ...range(0xa1, 0xac), ...range(0xae, 0xff)];
  const others = range(0, 255).filter((byte) => !printable.includes(byte));
  const spelled = [...printable, ...others.map((_, at) => 0x100 + at)].map((code) =>
    String.fromCharCode(code),
  );
  return placeMarkers([...printable, ...others], spelled);
};

const [unknown, begin, end] = ["<unk>", "<s>", "</s>"];
const specials = [unknown, begin, end];

/** vicuna_v1 as a Jinja template: the system text, then "USER: ... ASSISTANT: ...</s>". */
const chatTemplate =
  "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ messages[0]['content'] }}{% else %}" +
  "A chat between a curious user and an artificial intelligence assistant. " +
  "The assistant gives helpful, detailed, and polite answers to the user's questions.{% endif %} " +
  "{% for message in messages %}{% if message['role'] == 'user' %}USER: {{ message['content'] }} " +
  "{% elif message['role'] == 'assistant' %}ASSISTANT: {{ message['content'] }}{{ eos_token }}{% endif %}{% endfor %}" +
  "{% if add_generation_prompt %}ASSISTANT:{% endif %}";

/** Words with the space in front, the singular of a regular plural, digits and signs one by one. */
const wordPattern =
  ` ?(?:${regularNouns.map(({ name }) => name).join("|")})(?=s(?![A-Za-z]))` +
  "| ?\\p{L}+|\\p{N}|[^\\s\\p{L}\\p{N}]|\\s";

const tokens: readonly string[] = [
  ...specials,
  ...byteTokens(),
  ...split(openingWords).filter((word) => word.length > 1),
  ...sceneWords.map((word) => `Ġ${word}`),
];

/** Number of tokens: 3 special ones, 256 bytes (some of them markers) and the words. */
export const sceneVocabularySize = tokens.length;

/** `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` of a model folder, as JSON objects. */
export const buildSceneTokenizer = () => {
  const added = [...specials, ...markers].map((content) => ({
    id: tokens.indexOf(content),
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return {
    "tokenizer.json": {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: {
        type: "Sequence",
        pretokenizers: [
          { type: "Split", pattern: { Regex: wordPattern }, behavior: "Isolated", invert: false },
          { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false },
        ],
      },
      post_processor: {
        type: "TemplateProcessing",
        single: [
          { SpecialToken: { id: begin, type_id: 0 } },
          { Sequence: { id: "A", type_id: 0 } },
        ],
        pair: [
          { SpecialToken: { id: begin, type_id: 0 } },
          { Sequence: { id: "A", type_id: 0 } },
          { SpecialToken: { id: begin, type_id: 1 } },
          { Sequence: { id: "B", type_id: 1 } },
        ],
        special_tokens: {
          [begin]: { id: begin, ids: [specials.indexOf(begin)], tokens: [begin] },
        },
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
        // Words are looked up whole; what is not in the vocabulary falls into bytes, as there are no merges.
        ignore_merges: true,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: [],
      },
    },
    "tokenizer_config.json": {
      added_tokens_decoder: Object.fromEntries(added.map(({ id, ...rest }) => [id, rest])),
      bos_token: begin,
      eos_token: end,
      pad_token: unknown,
      unk_token: unknown,
      chat_template: chatTemplate,
      clean_up_tokenization_spaces: false,
      model_input_names: ["input_ids", "attention_mask"],
      model_max_length: 2048,
      tokenizer_class: "PreTrainedTokenizerFast",
    },
    "special_tokens_map.json": {
      bos_token: begin,
      eos_token: end,
      pad_token: unknown,
      unk_token: unknown,
    },
  };
};
