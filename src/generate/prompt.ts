import { ContextOverflowError, PromptError } from "../errors.js";
import { type ChatMessage, type ImagePlacement, partsOf } from "../text/chat-message.js";
import { renderChat } from "../text/chat-template.js";
import { type BosRule, imagePlaceholderId, tokenizeWithImages } from "../text/image-placeholder.js";
import type { ChatTemplate } from "../text/llava-templates.js";
import type { Tokenizer } from "../text/tokenizer.js";

export type PromptOptions = {
  /** One BOS by default; `double` is what the reference's inference sends for Llama-3.1. */
  readonly bos?: BosRule;
  /** Images move to the front of their turn by default, as in training. */
  readonly imagePlacement?: ImagePlacement;
};

/** A conversation as token ids. */
export type TokenisedPrompt = {
  /** `imagePlaceholderId` where media go. */
  readonly ids: readonly number[];
  /** Which places are earlier answers of the model. */
  readonly isAnswer: readonly boolean[];
  /** Whether every earlier answer was found among the tokens: a template may rewrite them. */
  readonly knowsAnswers: boolean;
  /** Media parts of the messages in order. */
  readonly mediaParts: readonly ("image" | "video")[];
};

const isPrefix = (prefix: readonly number[], ids: readonly number[]): boolean =>
  prefix.length <= ids.length && prefix.every((id, place) => ids[place] === id);

/**
 * Renders and tokenises a conversation. Special tokens written by a user are refused, because they
 * would act as control tokens. Throws `PromptError`, and `ContextOverflowError` when the text alone is
 * longer than `contextLength`: finding the answers of a long conversation is not begun for nothing.
 */
export const tokenisePrompt = (
  messages: readonly ChatMessage[],
  template: ChatTemplate,
  tokenizer: Tokenizer,
  { bos = "single", imagePlacement }: PromptOptions = {},
  contextLength = Number.POSITIVE_INFINITY,
): TokenisedPrompt => {
  const last = messages[messages.length - 1];
  if (last?.role !== "user") {
    throw new PromptError(
      `generate: the last message must be the user's, got ${last?.role ?? "no message"}`,
    );
  }
  const encode = (part: readonly ChatMessage[], addGenerationPrompt: boolean): number[] =>
    tokenizeWithImages(
      tokenizer,
      renderChat(part, template, {
        addGenerationPrompt,
        imagePlacement,
        reservedText: tokenizer.specialTokens,
      }),
      { bos },
    );
  const ids = encode(messages, true);
  checkContext(countPromptTokens(ids, []).text, contextLength);
  // An answer is what its message adds after the header that asks for it.
  const isAnswer = ids.map(() => false);
  let knowsAnswers = true;
  messages.forEach((message, index) => {
    if (message.role !== "assistant") return;
    const before = encode(messages.slice(0, index), true);
    const after = encode(messages.slice(0, index + 1), false);
    if (isPrefix(before, ids) && isPrefix(after, ids)) {
      isAnswer.fill(true, before.length, after.length);
    } else {
      knowsAnswers = false;
    }
  });
  const mediaParts = messages.flatMap((message) =>
    partsOf(message).flatMap(({ type }) => (type === "text" ? [] : [type])),
  );
  return { ids, isAnswer, knowsAnswers, mediaParts };
};

/** Tokens of a prompt once its media are in it: text places plus what each medium takes. */
export const countPromptTokens = (
  ids: readonly number[],
  mediaTokens: readonly number[],
): { readonly text: number; readonly media: number; readonly total: number } => {
  const text = ids.filter((id) => id !== imagePlaceholderId).length;
  const media = mediaTokens.reduce((sum, tokens) => sum + tokens, 0);
  return { text, media, total: text + media };
};

/** Throws `ContextOverflowError` unless the prompt and one token of an answer fit. Nothing is cut. */
export const checkContext = (promptTokens: number, contextLength: number): void => {
  if (promptTokens + 1 > contextLength) {
    throw new ContextOverflowError(
      `generate: the prompt takes ${promptTokens} tokens and the context holds ${contextLength}; ` +
        "shorten the text, take fewer frames or images, or raise the context length",
    );
  }
};
