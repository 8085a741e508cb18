/** Puts the media of a record where the tags in its text stand. */
import { RecordError } from "../errors.js";
import type { ChatMessage, ContentPart } from "../text/chat-message.js";
import type { MediaReference } from "./conversation-sample.js";

/** A message as a record has it: media are tags in the text, or parts already. */
export type RecordTurn = {
  readonly role: ChatMessage["role"];
  readonly content: string | readonly ContentPart[];
};

export type RecordMedia = {
  readonly images: readonly MediaReference[];
  readonly videos: readonly MediaReference[];
};

/**
 * What happens to a record with media and no tag for them. `reject` (default): it is bad. `front`: they go in front of the
 * first question, as many datasets mean it.
 */
export type UntaggedMedia = "reject" | "front";

const tag = /(<image>|<video>)/;

/** Cuts a question at its tags. Tags of other roles are text: only questions have media. */
const cutTags = ({ role, content }: RecordTurn): readonly ContentPart[] => {
  if (typeof content !== "string") return content;
  if (role !== "user") return [{ type: "text", text: content }];
  return content.split(tag).flatMap((text, at): ContentPart[] => {
    if (at % 2 === 1) return [{ type: text === "<video>" ? "video" : "image" }];
    return text === "" ? [] : [{ type: "text", text }];
  });
};

/**
 * Messages with their media as parts, and the media in the order of the parts. Where a record has videos and no image,
 * `<image>` stands for a video, as in LLaVA-OneVision's files.
 *
 * @throws RecordError where tags and media differ in number.
 */
export const placeMedia = (
  turns: readonly RecordTurn[],
  { images, videos }: RecordMedia,
  untagged: UntaggedMedia = "reject",
): { messages: ChatMessage[]; media: MediaReference[] } => {
  const cut = turns.map((turn) => ({ role: turn.role, content: [...cutTags(turn)] }));
  const placed = (kind: "image" | "video") =>
    cut.flatMap(({ content }) => content).filter(({ type }) => type === kind).length;
  const isVideoOnly = images.length === 0 && videos.length > 0 && placed("video") === 0;
  if (isVideoOnly && placed("image") === videos.length) {
    for (const { content } of cut)
      for (const [at, { type }] of content.entries())
        if (type === "image") content[at] = { type: "video" };
  }
  if (untagged === "front" && placed("image") + placed("video") === 0) {
    const first = cut.find(({ role }) => role === "user");
    first?.content.unshift(
      ...images.map((): ContentPart => ({ type: "image" })),
      ...videos.map((): ContentPart => ({ type: "video" })),
    );
  }
  for (const [kind, given] of [
    ["image", images.length],
    ["video", videos.length],
  ] as const)
    if (placed(kind) !== given)
      throw new RecordError(
        `placeMedia: every ${kind} of a record needs one <${kind}> in a question (${given}), got ${placed(kind)}. ` +
          (placed("image") + placed("video") === 0
            ? 'Add the tags, or read with untaggedMedia "front".'
            : "Add or remove tags until they agree."),
      );
  const next = { image: images.values(), video: videos.values() };
  const media: MediaReference[] = [];
  const messages = cut.map(({ role, content }): ChatMessage => {
    for (const { type } of content) {
      if (type === "text") continue;
      const { value } = next[type].next();
      if (value !== undefined) media.push(value);
    }
    const [only] = content;
    const isText = content.length === 1 && only.type === "text";
    if (content.length === 0) return { role, content: "" };
    return { role, content: isText ? only.text : content };
  });
  return { messages, media };
};
