/** Chat records as OpenAI's API and fine-tuning files have them: images are parts, as data or as local files. */
import { z } from "zod";
import { RecordError } from "../errors.js";
import type { ChatMessage, ContentPart } from "../text/chat-message.js";
import type { ConversationSample, MediaReference, RecordPlace } from "./conversation-sample.js";
import { resolveMediaPath } from "./media-path.js";
import {
  checkConversation,
  idOf,
  parseFields,
  parseRole,
  type RecordOptions,
} from "./record-schema.js";

const partSchema = z.union([
  z.object({ type: z.literal("text"), text: z.string() }),
  z.object({
    type: z.literal("image_url"),
    // `detail` asks OpenAI's servers for a resolution; ours follows from the model.
    image_url: z.union([z.string(), z.object({ url: z.string(), detail: z.string().nullish() })]),
  }),
]);

const recordSchema = z.looseObject({
  id: z.union([z.string(), z.number()]).nullish(),
  messages: z
    .array(
      z.looseObject({
        role: z.string(),
        content: z.union([z.string(), z.array(partSchema)]),
        weight: z.number().nullish(),
        tool_calls: z.null({ error: "calls of tools are not supported" }).optional(),
        function_call: z.null({ error: "calls of tools are not supported" }).optional(),
      }),
    )
    .min(1),
});

/** The bytes of a `data:` address. */
const parseDataUrl = (url: string): Uint8Array => {
  const comma = url.indexOf(",");
  const head = url.slice(0, Math.max(comma, 0));
  if (!/^data:image\/[\w.+-]+(;[\w=.+-]+)*;base64$/i.test(head))
    throw new RecordError(
      `parseRecord: image data must begin with data:image/TYPE;base64, got ${JSON.stringify(url.slice(0, 40))}. Encode it so.`,
    );
  try {
    return Uint8Array.from(atob(url.slice(comma + 1)), (char) => char.charCodeAt(0));
  } catch (cause) {
    throw new RecordError(
      `parseRecord: image data must be base64, got ${url.length - comma - 1} characters that are not. Encode them again.`,
      { cause },
    );
  }
};

const parseImage = (url: string, mediaRoot: string | undefined): MediaReference =>
  /^data:/i.test(url)
    ? { type: "image", bytes: parseDataUrl(url) }
    : { type: "image", path: resolveMediaPath(mediaRoot, url) };

/**
 * Parses one record. Remote images are refused: what a run reads must be there, and stay the same.
 *
 * @throws RecordError where a field does not fit or an image is remote, outside of `mediaRoot` or no base64.
 */
export const parseOpenAiRecord = (
  value: unknown,
  place: RecordPlace,
  { mediaRoot }: RecordOptions = {},
): ConversationSample => {
  const { id, messages: given, ...rest } = parseFields(recordSchema, value, "OpenAI's chat format");
  const media: MediaReference[] = [];
  const messages = given.map(({ role: name, content, weight }): ChatMessage => {
    const role = parseRole(name);
    if (weight !== undefined && weight !== null && weight !== 1)
      throw new RecordError(
        `parseRecord: a message's weight must be 1, got ${weight}. Split the conversation before the turns that are not to be learned.`,
      );
    if (typeof content === "string") return { role, content };
    const parts = content.map((part): ContentPart => {
      if (part.type === "text") return part;
      const { image_url: image } = part;
      media.push(parseImage(typeof image === "string" ? image : image.url, mediaRoot));
      return { type: "image" };
    });
    return { role, content: parts };
  });
  checkConversation(messages);
  return {
    id: idOf(id, place),
    messages,
    media,
    source: place,
    ...(Object.keys(rest).length > 0 && { metadata: rest }),
  };
};
