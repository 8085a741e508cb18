import { ApiError } from "./api/api-error.js";
import type { App, AppParts } from "./app.js";
import type { ModelFiles } from "./page/model-files.js";
import type { ModelEntry } from "./serving/model-registry.js";

/** A model as `/v1/models` lists it. */
const modelObject = (
  { name, created, memoryBytes, isLoaded, info }: ModelEntry,
  { shared }: ModelFiles,
) => ({
  id: name,
  object: "model",
  created,
  owned_by: "saccade",
  max_model_len: info.contextLength,
  architecture: {
    input_modalities: ["text", "image", "video"],
    output_modalities: ["text"],
    system: info.system,
  },
  vision: {
    tokens_per_image: info.imageTokens,
    max_media: info.maxMedia,
    granularities: info.choices.granularities ?? null,
    has_router: info.choices.hasRouter ?? false,
    max_slices: info.choices.maxSlices ?? null,
    downsample_modes: info.choices.downsampleModes ?? null,
  },
  memory_bytes: memoryBytes,
  status: isLoaded ? "loaded" : "unloaded",
  /** Where a page can fetch the model to answer by itself; null where that is not offered. */
  browser: shared.get(name) ?? null,
});

export const addModelRoutes = (
  app: App,
  { models, modelFiles, serving, limits, version }: AppParts,
): void => {
  const list = () => models.entries.map((entry) => modelObject(entry, modelFiles));
  app.get("/v1/models", (context) => context.json({ object: "list", data: list() }));
  app.get("/v1/models/:id{.+}", (context) => {
    const id = context.req.param("id");
    const entry = models.entries.find(({ name }) => name === id);
    if (entry !== undefined) return context.json(modelObject(entry, modelFiles));
    throw new ApiError(404, `The model "${id}" does not exist.`, {
      type: "invalid_request_error",
      code: "model_not_found",
      param: "model",
    });
  });
  app.get("/props", (context) =>
    context.json({
      version,
      models: list(),
      limits: {
        max_body_bytes: limits.maxBodyBytes,
        max_media_bytes: limits.maxMediaBytes,
        max_media: limits.maxMedia,
        max_pixels: limits.maxPixels,
        max_frames: limits.maxFrames,
        max_video_frames: limits.maxVideoFrames,
        max_answer_tokens: limits.maxAnswerTokens,
      },
      total_slots: serving.workersPerModel * serving.maxSequences,
    }),
  );
};
