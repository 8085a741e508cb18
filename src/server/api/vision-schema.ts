/** What answers say of their images, and models of themselves, for the OpenAPI document. */
const number = (description: string) => ({ type: "number", description });
const integer = (description: string) => ({ type: "integer", description });
const orNull = ({ type, ...rest }: { readonly type: string; readonly description: string }) => ({
  type: [type, "null"],
  ...rest,
});
const object = (properties: Readonly<Record<string, object>>, description?: string) => ({
  type: "object",
  ...(description !== undefined && { description }),
  properties,
});
const list = (items: object, description: string) => ({ type: "array", items, description });

const box = {
  ...object({
    left: number("Pixels from the left"),
    top: number("Pixels from the top"),
    width: number("Pixels"),
    height: number("Pixels"),
  }),
  type: ["object", "null"],
  description: "What the view shows of the image, in its pixels; null for border only",
};

const view = object({
  role: { enum: ["whole", "part"], description: "The whole image, or a tile or slice of it" },
  width: integer("Pixels that the vision tower sees"),
  height: integer("Pixels that the vision tower sees"),
  box,
});

const medium = object({
  type: { enum: ["image", "video"] },
  width: integer("Pixels, as it was looked at"),
  height: integer("Pixels, as it was looked at"),
  tokens: integer("Tokens of the language model; the most possible until a router has chosen"),
  asked: object({}, "The budget that was asked"),
  applied: object({}, "What of it this model has a choice about"),
  granularities: list(
    object({ granularity: integer("Tokens of a view"), tokens: integer("Tokens of the image") }),
    "What there is to choose, coarsest first",
  ),
  awaits_router: {
    const: true,
    description: "There while a router is still to choose: `tokens` is the most that it may",
  },
  routes: list(
    object({
      granularity: integer("Tokens of a view"),
      tokens: integer("Tokens of the image or frame"),
      chosen_by: { enum: ["router", "request", "budget", "model"] },
      probabilities: list({ type: "number" }, "The router's, one for each granularity"),
    }),
    "What was chosen, for the image or each frame",
  ),
  views: list(view, "Every view that the vision tower reads, of a video those of one frame"),
  frames: object({
    sampled: integer("Frames looked at"),
    wanted: integer("Frames that the sampling asked for"),
    total: integer("Frames of the video"),
    is_capped: { type: "boolean" },
  }),
});

/** `vision` of an answer and of a count. */
export const visionSchema = object({
  system: { type: "string", description: "The published system that the model is" },
  media: list(medium, "One for each image and video, in order"),
  patches: integer("Patches that the vision tower reads"),
  flops: {
    type: "object",
    additionalProperties: { type: "number" },
    description:
      "Floating-point operations by part; `perToken` of each token of the answer, `total` of all",
  },
  bytes: object({
    kv_cache: integer("Keys and values of prompt and answer"),
    weights: integer("All parameters as they are stored"),
    peak: integer("What a process that does nothing else takes at most"),
  }),
  images_seen: integer("Images and frames; absent before the answer"),
  images_cached: integer("Of those, found in the feature cache"),
  encode_ms: number("Vision tower and projector"),
  fusion_ms: number("Fusion of image and question"),
});

/** An entry of `/v1/models`. */
export const modelSchema = object({
  id: { type: "string" },
  object: { const: "model" },
  max_model_len: integer("Tokens of a prompt and its answer"),
  architecture: object({
    input_modalities: list({ type: "string" }, "What may be sent"),
    output_modalities: list({ type: "string" }, "What comes back"),
    system: { type: "string" },
  }),
  vision: object({
    tokens_per_image: integer("Tokens of a square image of 512 pixels, where nothing is asked"),
    max_media: orNull(integer("Images and videos of a conversation; null for any number")),
    granularities: orNull({ type: "array", description: "Tokens of a view that may be asked for" }),
    has_router: { type: "boolean", description: "Whether a router chooses where nothing is asked" },
    max_slices: orNull(integer("Most slices of an image, besides the whole")),
    downsample_modes: orNull({ type: "array", description: "How far patches may be merged" }),
  }),
  memory_bytes: integer("What it takes when everything that it may keep is full"),
  status: { enum: ["loaded", "unloaded"] },
  browser: {
    ...object({
      files: { type: "string", description: "Path of the model's folder on this server" },
      bytes: integer("Of all its files"),
    }),
    type: ["object", "null"],
    description: "Where a page can fetch the model to answer by itself",
  },
});
