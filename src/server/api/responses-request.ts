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
  unsupported,
  videoSamplingSchema,
} from "./request-schema.js";

const inputText = z.strictObject({ type: z.literal("input_text"), text: z.string() });
const outputText = z.strictObject({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.unknown()).optional(),
  logprobs: z.array(z.unknown()).nullish(),
});
const refusal = z.strictObject({ type: z.literal("refusal"), refusal: z.string() });
const inputImage = lookSchema
  .extend({
    type: z.literal("input_image"),
    image_url: z.string().min(1).nullish(),
    file_id: z.string().min(1).nullish(),
    detail: lookSchema.shape.detail.nullable(),
  })
  .refine(
    ({ image_url, file_id }) => (image_url == null) !== (file_id == null),
    "give image_url or file_id",
  );
const inputVideo = videoSamplingSchema
  .extend({
    type: z.literal("input_video"),
    video_url: z.string().min(1).nullish(),
    file_id: z.string().min(1).nullish(),
  })
  .refine(
    ({ video_url, file_id }) => (video_url == null) !== (file_id == null),
    "give video_url or file_id",
  );
const inputFile = z.strictObject({ type: z.literal("input_file"), file_id: z.string().min(1) });

const part = z.discriminatedUnion("type", [
  inputText,
  outputText,
  refusal,
  inputImage,
  inputVideo,
  inputFile,
]);
const item = z.strictObject({
  type: z.literal("message").optional(),
  role: z.enum(["user", "assistant", "system", "developer"]),
  content: z.union([z.string(), z.array(part)]),
  id: z.string().optional(),
  status: z.string().optional(),
});

export const responsesRequestSchema = z.strictObject({
  ...commonFields,
  input: z.union([z.string(), z.array(item).min(1).max(2048)]),
  instructions: z.string().nullish().describe("The system text"),
  max_output_tokens: z.int().min(1).nullish(),
  text: z
    .strictObject({
      format: z.strictObject({ type: z.literal("text", { error: unsupported }) }).optional(),
      verbosity: z.string().nullish(),
    })
    .nullish(),
  truncation: z.literal("disabled", { error: unsupported }).nullish(),
  previous_response_id: z.null({ error: unsupported }).optional(),
  conversation: z.null({ error: unsupported }).optional(),
  background: z.literal(false, { error: unsupported }).nullish(),
  include: z.array(z.string()).max(0, unsupported).nullish(),
  reasoning: z.record(z.string(), z.unknown()).nullish(),
  stream_options: z.strictObject({ include_obfuscation: z.boolean().optional() }).nullish(),
});
export type ResponsesRequest = z.infer<typeof responsesRequestSchema>;

/** A Responses request as what is asked. */
export const askedByResponses = (request: ResponsesRequest): AskedRequest => {
  const media: MediaPart[] = [];
  const common = processorOptionsOf(request.mm_processor_kwargs);
  const sampling = request.media_io_kwargs?.video ?? {};
  const items: readonly z.infer<typeof item>[] =
    typeof request.input === "string" ? [{ role: "user", content: request.input }] : request.input;

  const addMedia = (
    given: Exclude<z.infer<typeof part>, { type: "input_text" | "output_text" | "refusal" }>,
    param: string,
  ): number => {
    const id = given.file_id;
    const url =
      given.type === "input_image"
        ? given.image_url
        : given.type === "input_video"
          ? given.video_url
          : undefined;
    const source: MediaPart["source"] =
      id == null ? { type: "url", url: url ?? "" } : { type: "upload", id };
    const field = id != null ? "file_id" : given.type === "input_image" ? "image_url" : "video_url";
    let look = lookOptionsOf(common);
    let frames = sampling;
    if (given.type === "input_image") {
      const { type, image_url, file_id, detail, ...own } = given;
      look = lookOptionsOf(common, detail ? { ...own, detail } : own);
    } else if (given.type === "input_video") {
      const { type, video_url, file_id, ...own } = given;
      frames = { ...sampling, ...own };
    }
    const kind =
      given.type === "input_image" ? "image" : given.type === "input_video" ? "video" : "any";
    media.push({ kind, source, look, sampling: frames, param: `${param}.${field}` });
    return media.length - 1;
  };

  const messages = items.map(({ role, content }, itemIndex): AskedMessage => {
    const parts: readonly z.infer<typeof part>[] =
      typeof content === "string" ? [{ type: "input_text", text: content }] : content;
    return {
      role: role === "developer" ? "system" : role,
      content: parts.map((given, partIndex) => {
        if (given.type === "input_text" || given.type === "output_text") {
          return { type: "text", text: given.text };
        }
        if (given.type === "refusal") return { type: "text", text: given.refusal };
        const param = `input[${itemIndex}].content[${partIndex}]`;
        return { type: "media", index: addMedia(given, param) };
      }),
    };
  });
  const { instructions } = request;
  const system: AskedMessage[] = instructions
    ? [{ role: "system", content: [{ type: "text", text: instructions }] }]
    : [];
  return {
    model: request.model,
    messages: [...system, ...messages],
    media,
    isStream: request.stream === true,
    options: {
      ...samplingOptionsOf(request),
      ...optionOf("maxTokens", request.max_output_tokens),
    },
  };
};
