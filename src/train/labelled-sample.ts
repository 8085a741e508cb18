/**
 * Conversations as token ids with labels. Supervised is each answer with the token that ends it, and nothing else: neither
 * headers nor questions (LLaVA's `preprocess_v1` and `preprocess_plain`, LLaVA-Mini's `preprocess_llama_3_1`).
 *
 * The reference counts tokens turn by turn, and where its sum is wrong it masks the whole sample with a warning. Here the
 * place of an answer follows from rendering and tokenising what comes before it, which must be the beginning of the whole;
 * where it is not, the sample is refused.
 */
import type { ConversationSample } from "../data/conversation-sample.js";
import { LabelError, PromptError } from "../errors.js";
import type { ChatMessage, ImagePlacement } from "../text/chat-message.js";
import { type Prompt, renderChat } from "../text/chat-template.js";
import {
  type BosRule,
  imagePlaceholderId,
  type PromptPieces,
  tokenizeWithImages,
} from "../text/image-placeholder.js";
import { type ChatTemplate, llavaTemplates } from "../text/llava-templates.js";
import type { Tokenizer } from "../text/tokenizer.js";
import { ignoredLabel } from "./next-token-loss.js";

export type LabelOptions = {
  readonly tokenizer: Tokenizer;
  readonly template: ChatTemplate;
  /** Default: the template's, or `front`, as the reference's training. */
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

/** The pieces of a prompt between the places `cuts`, ascending, as `lengthOf` counts them. */
const cutPrompt = ({ pieces }: Prompt, cuts: readonly number[]): PromptPieces[] => {
  const parts: PromptPieces["pieces"][number][][] = [[]];
  let place = 0;
  for (const piece of pieces) {
    const length = piece.type === "text" ? piece.text.length : 1;
    let from = 0;
    while (parts.length <= cuts.length && cuts[parts.length - 1] < place + length) {
      const to = cuts[parts.length - 1] - place;
      if (piece.type === "text" && to > from)
        parts[parts.length - 1].push({ ...piece, text: piece.text.slice(from, to) });
      parts.push([]);
      from = to;
    }
    if (piece.type !== "text") parts[parts.length - 1].push(piece);
    else if (from < length)
      parts[parts.length - 1].push({ ...piece, text: piece.text.slice(from) });
    place += length;
  }
  while (parts.length <= cuts.length) parts.push([]);
  return parts.map((part) => ({ pieces: part }));
};

/**
 * How many ids lie before each cut, where the parts between cuts have the ids that they have in the whole; undefined
 * where tokens reach over a cut.
 */
const countIdsBefore = (
  parts: readonly PromptPieces[],
  ids: readonly number[],
  tokenize: (prompt: PromptPieces, isFirst: boolean) => number[],
): number[] | undefined => {
  const counts: number[] = [];
  let count = 0;
  for (const [at, part] of parts.entries()) {
    const partIds = part.pieces.length === 0 && at > 0 ? [] : tokenize(part, at === 0);
    if (!partIds.every((id, place) => ids[count + place] === id)) return undefined;
    count += partIds.length;
    counts.push(count);
  }
  return count === ids.length ? counts.slice(0, -1) : undefined;
};

/** From and to which id each answer reaches. */
const findAnswers = (
  messages: readonly ChatMessage[],
  whole: Prompt,
  ids: readonly number[],
  render: (count: number, addGenerationPrompt: boolean, isEarlier: boolean) => Prompt,
  tokenize: (prompt: PromptPieces, isFirst: boolean) => number[],
): [number, number][] => {
  const refuse = (edge: number, which: string) =>
    new LabelError(
      "tokens-do-not-align",
      `labelSample: what comes before the ${edge % 2 === 0 ? "start" : "end"} of answer ${turns[edge >> 1]} must be how the whole ${which} begins, got something else. Use a template that separates its turns.`,
    );
  const turns = messages.flatMap(({ role }, turn) => (role === "assistant" ? [turn] : []));
  // Two edges of each answer.
  const before = turns.flatMap((turn) => {
    const isEarlier = turn + 1 < messages.length;
    return [render(turn, true, isEarlier), render(turn + 1, false, isEarlier)];
  });
  for (const [edge, part] of before.entries())
    if (!isBeginning(part, whole)) throw refuse(edge, "text");
  const counts =
    countIdsBefore(cutPrompt(whole, before.map(lengthOf)), ids, tokenize) ??
    // Tokens of this vocabulary reach over the edges: each beginning is tokenised whole.
    before.map((part, edge) => {
      if (lengthOf(part) === lengthOf(whole)) return ids.length;
      const partIds = tokenize(part, true);
      if (!partIds.every((id, at) => ids[at] === id)) throw refuse(edge, "list of tokens");
      return partIds.length;
    });
  return turns.map((_, at) => [counts[2 * at], counts[2 * at + 1]]);
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
  const { tokenizer, template, imagePlacement, bos = "single" } = options;
  const { reservedText = tokenizer.specialTokens, tooLong = "refuse" } = options;
  const render = (count: number, addGenerationPrompt: boolean, isEarlier = false): Prompt => {
    try {
      const written = isEarlier ? (template.earlierTurns ?? template) : template;
      return renderChat(messages.slice(0, count), written, {
        addGenerationPrompt,
        ...(imagePlacement && { imagePlacement }),
        reservedText,
      });
    } catch (cause) {
      if (!(cause instanceof PromptError)) throw cause;
      throw new LabelError("template-refuses", cause.message, { cause });
    }
  };
  const tokenize = (prompt: PromptPieces, isFirst: boolean): number[] =>
    tokenizeWithImages(tokenizer, prompt, { bos: isFirst ? bos : "none" });
  const whole = render(messages.length, false);
  const all = tokenize(whole, true);
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

/** Ids and labels of a sample of a dataset, in the dataset's own format where it has one. Throws as `labelSample`. */
export const labelConversation = (
  { messages, template }: Pick<ConversationSample, "messages" | "template">,
  options: LabelOptions,
): LabelledSample =>
  labelSample(
    messages,
    template === undefined ? options : { ...options, template: llavaTemplates[template] },
  );
