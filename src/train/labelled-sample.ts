/**
 * Conversations as token ids with labels. Supervised is each answer with the token that ends it, and nothing else: neither
 * headers nor questions (LLaVA's `preprocess_v1` and `preprocess_plain`, LLaVA-Mini's `preprocess_llama_3_1`).
 *
 * The reference counts tokens turn by turn, and where its sum is wrong it masks the whole sample with a warning. Here the
 * place of an answer follows from rendering and tokenising what comes before it, which must be the beginning of the whole;
 * where it is not, the sample is refused.
 */
import { LabelError, PromptError } from "../errors.js";
import type { ChatMessage, ImagePlacement } from "../text/chat-message.js";
import { type Prompt, renderChat } from "../text/chat-template.js";
import { type BosRule, imagePlaceholderId, tokenizeWithImages } from "../text/image-placeholder.js";
import type { ChatTemplate } from "../text/llava-templates.js";
import type { Tokenizer } from "../text/tokenizer.js";
import { ignoredLabel } from "./next-token-loss.js";

export type LabelOptions = {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Default `front`, as the reference's training. */
  readonly imagePlacement?: ImagePlacement;
  /** Default `single`, as the reference's training. */
  readonly bos?: BosRule;
  /** Text that no message may hold; default: the tokenizer's special tokens, which would end an answer early. */
  readonly reservedText?: readonly string[];
  /** Most tokens of a sample, media included; default: no limit. */
  readonly maxLength?: number;
  /** Tokens that medium `index` takes in the decoder, for `maxLength`; default 1 each. */
  readonly mediaTokens?: (index: number) => number;
  /** What happens above `maxLength`: the sample is refused (default), or cut at its end as the reference does. */
  readonly tooLong?: "refuse" | "cut";
};

export type LabelledSample = {
  /** [T], -200 for each image or video. */
  readonly ids: readonly number[];
  /** [T], the id where it is supervised, else -100. A place is predicted from those before it. */
  readonly labels: readonly number[];
  readonly numSupervised: number;
  /** Ids cut off at the end. */
  readonly numCut: number;
};

/** Whether the text and media of `part` are how `whole` begins. */
const isBeginning = (part: Prompt, whole: Prompt): boolean =>
  part.pieces.every((piece, at) => {
    const other = whole.pieces[at];
    if (piece.type !== "text" || other?.type !== "text") return piece.type === other?.type;
    const isLast = at === part.pieces.length - 1;
    return isLast ? other.text.startsWith(piece.text) : other.text === piece.text;
  });

const lengthOf = (prompt: Prompt): number =>
  prompt.pieces.reduce((sum, piece) => sum + (piece.type === "text" ? piece.text.length : 1), 0);

/** From and to which id each answer reaches. */
const findAnswers = (
  messages: readonly ChatMessage[],
  whole: Prompt,
  ids: readonly number[],
  render: (count: number, addGenerationPrompt: boolean) => Prompt,
  tokenize: (prompt: Prompt) => number[],
): [number, number][] => {
  const wholeLength = lengthOf(whole);
  const countIds = (part: Prompt, turn: number, what: string): number => {
    const refuse = (which: string) =>
      new LabelError(
        "tokens-do-not-align",
        `labelSample: what comes before the ${what} of answer ${turn} must be how the whole ${which} begins, got something else. Use a template that separates its turns.`,
      );
    if (!isBeginning(part, whole)) throw refuse("text");
    if (lengthOf(part) === wholeLength) return ids.length;
    const partIds = tokenize(part);
    if (!partIds.every((id, at) => ids[at] === id)) throw refuse("list of tokens");
    return partIds.length;
  };
  return messages.flatMap(({ role }, turn): [number, number][] => {
    if (role !== "assistant") return [];
    const from = countIds(render(turn, true), turn, "start");
    return [[from, countIds(render(turn + 1, false), turn, "end")]];
  });
};

/** How many ids fit into `maxLength` tokens, media counted in full. */
const countFitting = (
  ids: readonly number[],
  { maxLength = Number.POSITIVE_INFINITY, mediaTokens = () => 1 }: LabelOptions,
): number => {
  let total = 0;
  let medium = 0;
  for (const [at, id] of ids.entries()) {
    total += id === imagePlaceholderId ? mediaTokens(medium++) : 1;
    if (total > maxLength) return at;
  }
  return ids.length;
};

/**
 * Ids and labels of a conversation.
 *
 * @throws LabelError with its reason: `template-refuses` (roles out of turn, control text in a message),
 * `tokens-do-not-align`, `nothing-supervised` (no answer), `too-long` (also where a cut would take every answer or a medium);
 * TokenizerError where the vocabulary cannot express the text.
 */
export const labelSample = (
  messages: readonly ChatMessage[],
  options: LabelOptions,
): LabelledSample => {
  const { tokenizer, template, imagePlacement = "front", bos = "single" } = options;
  const { reservedText = tokenizer.specialTokens, tooLong = "refuse" } = options;
  const render = (count: number, addGenerationPrompt: boolean): Prompt => {
    try {
      return renderChat(messages.slice(0, count), template, {
        addGenerationPrompt,
        imagePlacement,
        reservedText,
      });
    } catch (cause) {
      if (!(cause instanceof PromptError)) throw cause;
      throw new LabelError("template-refuses", cause.message, { cause });
    }
  };
  const tokenize = (prompt: Prompt): number[] => tokenizeWithImages(tokenizer, prompt, { bos });
  const whole = render(messages.length, false);
  const all = tokenize(whole);
  const answers = findAnswers(messages, whole, all, render, tokenize);

  const numFitting = countFitting(all, options);
  const refuseLength = (rule: string) =>
    new LabelError(
      "too-long",
      `labelSample: ${rule}, got ${all.length} ids of which ${numFitting} fit into ${options.maxLength} tokens. Raise maxLength, or leave the sample out.`,
    );
  if (numFitting < all.length && tooLong === "refuse")
    throw refuseLength("a sample must fit into maxLength");
  const ids = all.slice(0, numFitting);
  if (all.includes(imagePlaceholderId, numFitting))
    throw refuseLength("a cut must leave every medium");
  const labels = new Array<number>(ids.length).fill(ignoredLabel);
  let numSupervised = 0;
  for (const [from, to] of answers)
    for (let at = from; at < Math.min(to, ids.length); at++) {
      labels[at] = ids[at];
      numSupervised++;
    }
  if (numSupervised === 0 && numFitting < all.length)
    throw refuseLength("a cut must leave an answer");
  if (numSupervised === 0)
    throw new LabelError(
      "nothing-supervised",
      `labelSample: a conversation must hold an answer to learn, got ${messages.length} messages without one. Leave it out.`,
    );
  return { ids, labels, numSupervised, numCut: all.length - ids.length };
};
