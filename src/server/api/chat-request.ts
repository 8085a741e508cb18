import { z } from "zod";
import {
  type AskedMessage,
  type AskedRequest,
  type MediaPart,
  optionOf,
  samplingOptionsOf,
} from "./asked-request.js";
import {
  commonFields,
  lookOptionsOf,
  lookSchema,
  processorOptionsOf,
  stopSchema,
  unsupportedFields,
  uuidSchema,
  videoSamplingSchema,
} from "./request-schema.js";

const text = z.strictObject({ type: z.literal("text"), text: z.string() });
const refusal = z.strictObject({ type: z.literal("refusal"), refusal: z.string() });
const image = z.strictObject({
  type: z.literal("image_url"),
  image_url: z.union([lookSchema.extend({ url: z.string().min(1) }), z.null()]),
  uuid: uuidSchema
    .optional()
    .describe("Keeps the image under this name; with `image_url: null` it is used again"),
});
const videoUrl = z.strictObject({
  type: z.literal("video_url"),
  video_url: z.union([videoSamplingSchema.extend({ url: z.string().min(1) }), z.null()]),
  uuid: uuidSchema.optional(),
});
const inputVideo = z.strictObject({
  type: z.literal("input_video"),
  input_video: videoSamplingSchema
    .extend({ data: z.string().min(1).optional(), url: z.string().min(1).optional() })
    .refine(({ data, url }) => (data === undefined) !== (url === undefined), "give data or url"),
});
const file = z.strictObject({
  type: z.literal("file"),
  file: z.strictObject({ file_id: z.string().min(1), filename: z.string().optional() }),
});
const userPart = z.discriminatedUnion("type", [text, image, videoUrl, inputVideo, file]);

const name = z.string().optional();
const texts = z.union([z.string(), z.array(text)]);
const message = z.discriminatedUnion("role", [
  z.strictObject({ role: z.literal("system"), content: texts, name }),
  z.strictObject({ role: z.literal("developer"), content: texts, name }),
  z.strictObject({
    role: z.literal("user"),
    content: z.union([z.string(), z.array(userPart)]),
    name,
  }),
  z.strictObject({
    role: z.literal("assistant"),
    content: z.union([z.string(), z.array(z.discriminatedUnion("type", [text, refusal]))]),
    refusal: z.string().nullish(),
    annotations: z.array(z.unknown()).nullish(),
    audio: z.null().optional(),
    tool_calls: z.array(z.never()).nullish(),
    function_call: z.null().optional(),
    reasoning_content: z.string().nullish(),
    name,
  }),
]);

export const chatRequestSchema = z.strictObject({
  ...commonFields,
  ...unsupportedFields,
  messages: z.array(message).min(1).max(2048),
  max_tokens: z.int().min(1).nullish(),
  max_completion_tokens: z.int().min(1).nullish(),
  stop: stopSchema,
  stop_token_ids: z.array(z.int().min(0)).max(64).nullish(),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().optional(),
      include_obfuscation: z.boolean().optional(),
    })
    .nullish(),
});
export type ChatRequest = z.infer<typeof chatRequestSchema>;

type UserPart = z.infer<typeof userPart>;

const mediaPartOf = (
  part: Exclude<UserPart, { type: "text" }>,
  request: ChatRequest,
  param: string,
): MediaPart => {
  const common = processorOptionsOf(request.mm_processor_kwargs);
  const sampling = request.media_io_kwargs?.video ?? {};
  const both = { look: lookOptionsOf(common), sampling };
  if (part.type === "file") {
    const source = { type: "upload", id: part.file.file_id } as const;
    return { ...both, kind: "any", source, param: `${param}.file.file_id` };
  }
  if (part.type === "input_video") {
    const { data, url, ...own } = part.input_video;
    const source =
      data === undefined
        ? ({ type: "url", url: url ?? "" } as const)
        : ({ type: "base64", data } as const);
    const field = data === undefined ? "url" : "data";
    return {
      ...both,
      kind: "video",
      source,
      sampling: { ...sampling, ...own },
      param: `${param}.input_video.${field}`,
    };
  }
  const { uuid } = part;
  const named = uuid !== undefined && { uuid };
  const kind = part.type === "image_url" ? "image" : "video";
  const known = { type: "uuid", uuid: uuid ?? "" } as const;
  if (part.type === "image_url") {
    if (part.image_url === null) return { ...both, kind, source: known, param: `${param}.uuid` };
    const { url, ...own } = part.image_url;
    const field = `${param}.image_url.url`;
    const look = lookOptionsOf(common, own);
    return { kind, source: { type: "url", url }, look, sampling, ...named, param: field };
  }
  if (part.video_url === null) return { ...both, kind, source: known, param: `${param}.uuid` };
  const { url, ...own } = part.video_url;
  const frames = { ...sampling, ...own };
  const field = `${param}.video_url.url`;
  return { ...both, kind, source: { type: "url", url }, sampling: frames, ...named, param: field };
};

/** A chat request as what is asked. */
export const askedByChat = (request: ChatRequest): AskedRequest => {
  const media: MediaPart[] = [];
  const messages = request.messages.map(({ role, content }, messageIndex): AskedMessage => {
    const parts: readonly (UserPart | z.infer<typeof refusal>)[] =
      typeof content === "string" ? [{ type: "text", text: content }] : content;
    return {
      role: role === "developer" ? "system" : role,
      content: parts.map((part, partIndex) => {
        if (part.type === "text") return part;
        if (part.type === "refusal") return { type: "text", text: part.refusal };
        const param = `messages[${messageIndex}].content[${partIndex}]`;
        media.push(mediaPartOf(part, request, param));
        return { type: "media", index: media.length - 1 };
      }),
    };
  });
  const { stop } = request;
  return {
    model: request.model,
    messages,
    media,
    isStream: request.stream === true,
    options: {
      ...samplingOptionsOf(request),
      ...optionOf("maxTokens", request.max_completion_tokens ?? request.max_tokens),
      ...optionOf("stopStrings", typeof stop === "string" ? [stop] : stop),
      ...optionOf("stopIds", request.stop_token_ids),
    },
  };
};
