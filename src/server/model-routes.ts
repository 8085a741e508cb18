import { ApiError } from "./api/api-error.js";
import type { App, AppParts } from "./app.js";
import type { ModelEntry } from "./serving/model-registry.js";

/** A model as `/v1/models` lists it; what is known only of a loaded model is null before. */
const modelObject = ({ name, created, memoryBytes, isLoaded, info }: ModelEntry) => ({
  id: name,
  object: "model",
  created,
  owned_by: "saccade",
  max_model_len: info?.contextLength ?? null,
  architecture: {
    input_modalities: ["text", "image", "video"],
    output_modalities: ["text"],
    system: info?.system ?? null,
  },
  vision: {
    tokens_per_image: info?.imageTokens ?? null,
    max_media: info?.maxMedia ?? null,
    granularities: info?.choices.granularities ?? null,
    has_router: info?.choices.hasRouter ?? false,
    max_slices: info?.choices.maxSlices ?? null,
    downsample_modes: info?.choices.downsampleModes ?? null,
  },
  memory_bytes: memoryBytes,
  status: isLoaded ? "loaded" : "unloaded",
});

export const addModelRoutes = (app: App, { models, serving, limits, version }: AppParts): void => {
  app.get("/v1/models", (context) =>
    context.json({ object: "list", data: models.entries.map(modelObject) }),
  );
  app.get("/v1/models/:id{.+}", (context) => {
    const id = context.req.param("id");
    const entry = models.entries.find(({ name }) => name === id);
    if (entry !== undefined) return context.json(modelObject(entry));
    throw new ApiError(404, `The model "${id}" does not exist.`, {
      type: "invalid_request_error",
      code: "model_not_found",
      param: "model",
    });
  });
  app.get("/props", (context) =>
    context.json({
      version,
      models: models.entries.map(modelObject),
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
