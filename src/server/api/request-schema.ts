import { z } from "zod";
import { ApiError, invalidRequest } from "./api-error.js";

const count = z.int().min(1).max(1e9);

/** How closely images are looked at; peers' names where they have one. */
export const lookSchema = z.strictObject({
  detail: z
    .enum(["low", "high", "auto", "original"])
    .optional()
    .describe(
      "low: fewest tokens; high: most; auto: as the model decides; original: most, and no picture is refused for its size alone",
    ),
  granularity: count.optional().describe("Tokens of a view, one of the model's granularities"),
  max_soft_tokens: count
    .optional()
    .describe("Most tokens that an image may take; wins over detail"),
  max_slice_nums: count.optional().describe("Most slices of an image, besides the whole"),
  downsample_mode: z.enum(["4x", "16x"]).optional().describe("How far patches are merged"),
  min_pixels: count.optional().describe("Smaller images are enlarged to so many pixels first"),
  max_pixels: count.optional().describe("Larger images are shrunk to so many pixels first"),
});
export type WireLook = z.infer<typeof lookSchema>;

/** How closely an image is looked at, as asked. */
export type LookOptions = {
  readonly detail?: "low" | "high" | "auto" | "original";
  readonly granularity?: number;
  readonly maxSoftTokens?: number;
  readonly maxSlices?: number;
  readonly downsampleMode?: "4x" | "16x";
  readonly minPixels?: number;
  readonly maxPixels?: number;
};

/** Joins what is asked of all images with what is asked of one, which wins. */
export const lookOptionsOf = (...looks: readonly (WireLook | undefined | null)[]): LookOptions => {
  const look: WireLook = Object.assign({}, ...looks);
  return {
    ...(look.detail !== undefined && { detail: look.detail }),
    ...(look.granularity !== undefined && { granularity: look.granularity }),
    ...(look.max_soft_tokens !== undefined && { maxSoftTokens: look.max_soft_tokens }),
    ...(look.max_slice_nums !== undefined && { maxSlices: look.max_slice_nums }),
    ...(look.downsample_mode !== undefined && { downsampleMode: look.downsample_mode }),
    ...(look.min_pixels !== undefined && { minPixels: look.min_pixels }),
    ...(look.max_pixels !== undefined && { maxPixels: look.max_pixels }),
  };
};

export const videoSamplingSchema = z.strictObject({
  num_frames: count.optional().describe("So many frames, spread over the video"),
  fps: z.number().gt(0).max(1000).optional().describe("So many frames of each second"),
});
export type VideoSampling = z.infer<typeof videoSamplingSchema>;

export const uuidSchema = z.string().min(1).max(200);

/** `num_vision_tokens` is another peer's name for the budget. */
const processorSchema = lookSchema.extend({ num_vision_tokens: count.optional() });

export const processorOptionsOf = (
  given: z.infer<typeof processorSchema> | null | undefined,
): WireLook => {
  const { num_vision_tokens, ...look } = given ?? {};
  return num_vision_tokens === undefined ? look : { max_soft_tokens: num_vision_tokens, ...look };
};

/** A parameter of OpenAI's that this server cannot honour: only values that change nothing pass. */
const only = <Schema extends z.ZodType>(schema: Schema) => schema.nullish();

/** Said of a value that would change the answer and cannot be honoured. */
export const unsupported = "is not supported by this server with this value; leave it out";

/** What both request forms share besides their messages. */
export const commonFields = {
  model: z.string().min(1).describe("A model's id, as /v1/models lists them"),
  stream: z.boolean().nullish(),
  temperature: z
    .number()
    .min(0)
    .max(100)
    .nullish()
    .describe("0, the default, takes the most likely token"),
  top_p: z.number().min(0).max(1).nullish(),
  top_k: z.int().min(0).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repetition_penalty: z.number().min(0.01).max(100).nullish(),
  seed: z.int().nullish().describe("Equal seeds draw equal tokens"),
  mm_processor_kwargs: processorSchema.nullish().describe("For every image of the request"),
  media_io_kwargs: z.strictObject({ video: videoSamplingSchema.optional() }).nullish(),
  // Taken note of by others; they change no answer.
  user: z.string().nullish(),
  safety_identifier: z.string().nullish(),
  prompt_cache_key: z.string().nullish(),
  prompt_cache_retention: z.string().nullish(),
  metadata: z.record(z.string(), z.string()).nullish(),
  store: z.boolean().nullish(),
  service_tier: z.string().nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  tools: only(z.array(z.never(), { error: unsupported }).max(0, unsupported)),
  tool_choice: only(z.enum(["none", "auto"], { error: unsupported })),
};

export const stopSchema = z
  .union([z.string().min(1).max(1000), z.array(z.string().min(1).max(1000)).max(16)])
  .nullish();

export const unsupportedFields = {
  n: only(z.literal(1, { error: unsupported })),
  logprobs: only(z.literal(false, { error: unsupported })),
  top_logprobs: only(z.literal(0, { error: unsupported })),
  frequency_penalty: only(z.literal(0, { error: `${unsupported}; repetition_penalty is` })),
  presence_penalty: only(z.literal(0, { error: `${unsupported}; repetition_penalty is` })),
  logit_bias: only(z.record(z.string(), z.never(), { error: unsupported })),
  response_format: only(z.strictObject({ type: z.literal("text", { error: unsupported }) })),
  modalities: only(z.array(z.literal("text", { error: unsupported })).max(1)),
};

const pathOf = (path: readonly PropertyKey[]): string =>
  path.reduce<string>(
    (text, key) =>
      typeof key === "number"
        ? `${text}[${key}]`
        : text === ""
          ? String(key)
          : `${text}.${String(key)}`,
    "",
  );

type Issue = z.core.$ZodIssue;

/** The issue that says most: of a union, that of the branch which got furthest. */
const deepest = (issue: Issue, path: readonly PropertyKey[] = []): Issue => {
  const here = { ...issue, path: [...path, ...issue.path] } as Issue;
  if (issue.code !== "invalid_union") return here;
  const branches = issue.errors
    .map(([first]) => first && deepest(first, here.path))
    .filter((branch) => branch !== undefined);
  return branches.reduce<Issue>(
    (best, branch) => (branch.path.length > best.path.length ? branch : best),
    here,
  );
};

/** Parses a body. Throws an `ApiError` that names the field at fault. */
export const parseRequest = <Schema extends z.ZodType>(
  schema: Schema,
  body: unknown,
): z.infer<Schema> => {
  const parsed = schema.safeParse(body, { reportInput: true });
  if (parsed.success) return parsed.data;
  const issue = deepest(parsed.error.issues[0]);
  if (issue.code === "unrecognized_keys") {
    const param = pathOf([...issue.path, issue.keys[0]]);
    throw invalidRequest(`Unrecognized request argument: ${param}.`, "unknown_parameter", param);
  }
  const param = pathOf(issue.path);
  if (issue.code === "invalid_type" && issue.input === undefined && param !== "") {
    throw invalidRequest(`Missing required parameter: ${param}.`, "missing_parameter", param);
  }
  const isUnsupported = issue.message.includes(unsupported);
  throw invalidRequest(
    isUnsupported ? `${param} ${issue.message}.` : `${param || "The body"}: ${issue.message}.`,
    isUnsupported
      ? "unsupported_parameter"
      : issue.code === "invalid_type"
        ? "invalid_type"
        : "invalid_value",
    param || undefined,
  );
};

/** Parses JSON text. Throws `ApiError`. */
export const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ApiError(
      400,
      "The body must be JSON.",
      { type: "invalid_request_error", code: "invalid_json" },
      { cause },
    );
  }
};
