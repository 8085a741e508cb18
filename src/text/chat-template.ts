/** Conversations to prompts, through a model's own template or a built-in one. */
import { PromptError } from "../errors.js";
import {
  type ChatMessage,
  type ContentPart,
  checkMessages,
  type ImagePlacement,
  partsOf,
  placeImages,
  textOf,
} from "./chat-message.js";
import { type ChatTemplate, llavaMediaTokens, type MediaTokens } from "./llava-templates.js";

export type PromptPiece =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image" }
  | { readonly type: "video" };

/** A rendered conversation. Only `pieces` tells a placeholder from a user who wrote "<image>". */
export type Prompt = {
  /** With `<image>` for each image and video, as the reference writes it. */
  readonly text: string;
  /** Text and media in order; texts may be empty, and never neighbour each other. */
  readonly pieces: readonly PromptPiece[];
};

export type RenderOptions = {
  /** End with the assistant's header; default: unless the last message is the assistant's. */
  readonly addGenerationPrompt?: boolean;
  /** Default: the template's, or `front`. */
  readonly imagePlacement?: ImagePlacement;
  /** Text that messages must not hold; pass a tokenizer's `specialTokens` for input that is not trusted. */
  readonly reservedText?: readonly string[];
};

/** A character of the private use area that occurs in no message and in neither tag. */
const findMarker = (messages: readonly ChatMessage[]): string => {
  const all = messages.map(textOf).join();
  let code = 0xf0000;
  while (all.includes(String.fromCodePoint(code))) code++;
  return String.fromCodePoint(code);
};

const escapeRegExp = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

/** Cuts rendered text at its media tags. */
const cut = (rendered: string, tags: MediaTokens): PromptPiece[] => {
  const pattern = new RegExp(`(${escapeRegExp(tags.image)}|${escapeRegExp(tags.video)})`);
  return rendered.split(pattern).map((text, at): PromptPiece => {
    if (at % 2 === 0) return { type: "text", text };
    return { type: text === tags.video ? "video" : "image" };
  });
};

const checkMedia = (
  template: string,
  messages: readonly ChatMessage[],
  pieces: readonly PromptPiece[],
): void => {
  for (const kind of ["image", "video"] as const) {
    const given = messages.flatMap(partsOf).filter(({ type }) => type === kind).length;
    const placed = pieces.filter(({ type }) => type === kind).length;
    if (given !== placed)
      throw new PromptError(
        `renderChat: the template must place every ${kind} of the messages once (${given}), got ${placed} placeholders from "${template}". Choose a template made for media, or leave them out.`,
      );
  }
};

/**
 * Renders a conversation. Placeholders come from content parts alone: a literal "<image>" in a message stays text.
 *
 * @throws PromptError where the messages are malformed or do not suit the template, or the template drops media.
 */
export const renderChat = (
  messages: readonly ChatMessage[],
  template: ChatTemplate,
  options: RenderOptions = {},
): Prompt => {
  const { imagePlacement = template.imagePlacement ?? "front", reservedText = [] } = options;
  checkMessages(messages, reservedText);
  const { addGenerationPrompt = messages.at(-1)?.role !== "assistant" } = options;
  const { mediaTokens: tags = llavaMediaTokens, systemText } = template;

  // A user's own "<image>" is broken by a marker while the template runs.
  const marker = findMarker(messages);
  const breakTags = (text: string): string => {
    const broken = (tag: string) => tag.slice(0, 1) + marker + tag.slice(1);
    return text
      .replaceAll(tags.image, broken(tags.image))
      .replaceAll(tags.video, broken(tags.video));
  };
  const restore = (piece: PromptPiece): PromptPiece =>
    piece.type === "text" ? { type: "text", text: piece.text.replaceAll(marker, "") } : piece;

  const conversation: readonly ChatMessage[] =
    systemText !== undefined && messages[0].role !== "system"
      ? [{ role: "system", content: systemText }, ...messages]
      : messages;
  const ownLayout = template.contentFormat === "parts";
  const turns = conversation.map((message) => ({
    role: message.role,
    content: placeImages(message, imagePlacement, ownLayout).map(
      (part): ContentPart =>
        part.type === "text" ? { type: "text", text: breakTags(part.text) } : part,
    ),
  }));
  const write = (part: ContentPart): string => (part.type === "text" ? part.text : tags[part.type]);
  const rendered =
    template.contentFormat === "parts"
      ? template.render(turns, addGenerationPrompt)
      : template.render(
          turns.map(({ role, content }) => ({ role, content: content.map(write).join("") })),
          addGenerationPrompt,
        );

  const pieces = cut(rendered, tags);
  checkMedia(template.name, messages, pieces);
  const restored = pieces.map(restore);
  return {
    pieces: restored,
    text: restored.map((piece) => (piece.type === "text" ? piece.text : "<image>")).join(""),
  };
};
