/** Prompts with images as token ids (LLaVA `mm_utils.py` `tokenizer_image_token`). */
import { TokenizerError } from "../errors.js";
import type { Prompt } from "./chat-template.js";
import type { Tokenizer } from "./tokenizer.js";

/** Stands for an image or video in a prompt's ids; no vocabulary has it. */
export const imagePlaceholderId = -200;

/**
 * `single`: one BOS in front, whether the text or the tokenizer brings it, as in the reference's training. `double`:
 * as the reference's inference scripts, which keep both where the text holds a BOS and the tokenizer adds one.
 * `none`: no BOS.
 */
export type BosRule = "single" | "double" | "none";

/** The part of a prompt that ids follow from. */
export type PromptPieces = Pick<Prompt, "pieces">;

const piecesOf = (prompt: string | PromptPieces): PromptPieces["pieces"] =>
  typeof prompt === "string"
    ? prompt
        .split(/(<image>)/)
        .map((text) => (text === "<image>" ? { type: "image" } : { type: "text", text }))
    : prompt.pieces;

/**
 * Token ids of a prompt, with -200 for each image or video. The texts between placeholders are tokenised one by one, so
 * that nothing merges across an image. A prompt given as text has a placeholder at every literal `<image>`; one from
 * `renderChat` only where its messages have media.
 *
 * @throws TokenizerError where the vocabulary cannot express the text, or a BOS is asked for and unknown.
 */
export const tokenizeWithImages = (
  tokenizer: Tokenizer,
  prompt: string | PromptPieces,
  { bos = "single" }: { bos?: BosRule } = {},
): number[] => {
  const { bosId } = tokenizer;
  const addsBos = bosId !== undefined && tokenizer.encode("")[0] === bosId;
  if (bos === "double" && bosId === undefined)
    throw new TokenizerError(
      'tokenizeWithImages: for bos "double", the tokenizer must have a BOS token, got none. Use "single" or "none".',
    );
  const ids: number[] = [];
  for (const piece of piecesOf(prompt)) {
    if (piece.type !== "text") ids.push(imagePlaceholderId);
    else for (const id of tokenizer.encode(piece.text, { addSpecialTokens: false })) ids.push(id);
  }
  if (bosId === undefined) return ids;
  const written = ids[0] === bosId;
  if (bos === "none") return written ? ids.slice(1) : ids;
  if (!addsBos || (bos === "single" && written)) return ids;
  return [bosId, ...ids];
};
