/** Conversations: one type for every template, and the placement of images in a turn. */
import { PromptError } from "../errors.js";

export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | { readonly type: "image" }
  | { readonly type: "video" };

export type ChatMessage = {
  readonly role: "system" | "user" | "assistant";
  readonly content: string | readonly ContentPart[];
};

/**
 * `front`: images move to the front of their turn, each followed by a newline, and the text is trimmed, as the
 * reference's training data was prepared (LLaVA `preprocess_multimodal`). `in-place`: nothing moves.
 */
export type ImagePlacement = "front" | "in-place";

/** Content as a list, however it was given. */
export const partsOf = ({ content }: ChatMessage): readonly ContentPart[] =>
  typeof content === "string" ? [{ type: "text", text: content }] : content;

/** All text of a message, media left out. */
export const textOf = (message: ChatMessage): string =>
  partsOf(message)
    .map((part) => (part.type === "text" ? part.text : ""))
    .join("");

const roles = new Set(["system", "user", "assistant"]);

/**
 * Checks what every template relies on.
 *
 * @throws PromptError for an empty conversation, unknown roles or parts, media outside of user turns, a system message
 * that is not first, or reserved text.
 */
export const checkMessages = (
  messages: readonly ChatMessage[],
  reservedText: readonly string[],
): void => {
  if (messages.length === 0)
    throw new PromptError(
      "checkMessages: a conversation must not be empty, got no message. Add a user message.",
    );
  for (const [at, message] of messages.entries()) {
    const bad = (rule: string, got: unknown, wayOut: string) =>
      new PromptError(
        `checkMessages: message ${at} ${rule}, got ${JSON.stringify(got)}. ${wayOut}`,
      );
    const { role, content } = message;
    if (!roles.has(role))
      throw bad("must be of system, user or assistant", role, "Use one of the three.");
    if (role === "system" && at > 0)
      throw bad(
        "must not be a system message unless it is the first",
        role,
        "Move it to the front.",
      );
    if (typeof content !== "string" && !Array.isArray(content))
      throw bad("must have text or a list of parts", content, "Pass one of the two.");
    for (const part of partsOf(message)) {
      if (part?.type === "text" && typeof part.text === "string") continue;
      if (part?.type === "image" || part?.type === "video") {
        if (role !== "user")
          throw bad("must be of the user to hold media", role, "Move the media to a user message.");
      } else
        throw bad(
          "must hold parts of type text, image or video",
          part,
          "Convert other parts first.",
        );
    }
    // All texts at once: control text in two halves would be joined later.
    const text = textOf(message);
    const reserved = reservedText.find((token) => text.includes(token));
    if (reserved !== undefined)
      throw bad("must not hold the model's control text", reserved, "Remove it from the message.");
  }
};

/** Joins neighbouring texts, so that no tag can hide in two halves. */
const joinTexts = (parts: readonly ContentPart[]): ContentPart[] => {
  const joined: ContentPart[] = [];
  for (const part of parts) {
    const last = joined.at(-1);
    if (part.type === "text" && last?.type === "text")
      joined[joined.length - 1] = { type: "text", text: last.text + part.text };
    else joined.push(part);
  }
  return joined;
};

/**
 * The parts of a message in the order of `placement`, neighbouring texts joined. `ownLayout`: the template writes
 * separators itself, so that media move to the front and nothing else changes.
 */
export const placeImages = (
  message: ChatMessage,
  placement: ImagePlacement,
  ownLayout: boolean,
): readonly ContentPart[] => {
  const parts = partsOf(message);
  const media = parts.filter(({ type }) => type !== "text");
  if (placement === "in-place" || media.length === 0) return joinTexts(parts);
  if (ownLayout) return joinTexts([...media, ...parts.filter(({ type }) => type === "text")]);
  const text = textOf(message).trim();
  const newline: ContentPart = { type: "text", text: "\n" };
  // Without text nothing follows the last image: the reference trims the whole turn.
  const lines = media.flatMap((part) => [part, newline]);
  return text === "" ? lines.slice(0, -1) : [...lines, { type: "text", text }];
};
