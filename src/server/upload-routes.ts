import { ApiError, invalidRequest } from "./api/api-error.js";
import type { App } from "./app.js";
import type { UploadStore } from "./media/upload-store.js";
import type { RequestLimits } from "./server-options.js";

const notFound = (id: string): ApiError =>
  new ApiError(404, `There is no upload "${id}".`, {
    type: "invalid_request_error",
    code: "file_not_found",
    param: "file_id",
  });

/** `/v1/files`, for media that are asked about more than once. Each client sees its own. */
export const addUploadRoutes = (app: App, uploads: UploadStore, limits: RequestLimits): void => {
  app.post("/v1/files", async (context) => {
    const form = await context.req.formData().catch((cause: unknown) => {
      throw new ApiError(
        415,
        "An upload must be multipart/form-data.",
        { type: "invalid_request_error", code: "unsupported_media_type" },
        { cause },
      );
    });
    const file = form.get("file");
    if (!(file instanceof File)) {
      throw invalidRequest("Missing required parameter: file.", "missing_parameter", "file");
    }
    const purpose = form.get("purpose");
    if (purpose !== "vision" && purpose !== "user_data") {
      throw invalidRequest('purpose must be "vision" or "user_data".', "invalid_value", "purpose");
    }
    if (file.size > limits.maxMediaBytes) {
      throw new ApiError(
        413,
        `A medium may have ${limits.maxMediaBytes} bytes, got ${file.size}.`,
        {
          type: "invalid_request_error",
          code: "limit_exceeded",
          param: "file",
        },
      );
    }
    const data = new Uint8Array(await file.arrayBuffer());
    const upload = uploads.add(context.get("scope"), data, { filename: file.name, purpose });
    if (upload !== undefined) return context.json(upload);
    throw new ApiError(413, "The upload is larger than the place for all uploads.", {
      type: "invalid_request_error",
      code: "limit_exceeded",
      param: "file",
    });
  });
  app.get("/v1/files", (context) =>
    context.json({ object: "list", data: uploads.list(context.get("scope")), has_more: false }),
  );
  app.get("/v1/files/:id", (context) => {
    const id = context.req.param("id");
    const held = uploads.get(context.get("scope"), id);
    if (held === undefined) throw notFound(id);
    return context.json(held.upload);
  });
  app.delete("/v1/files/:id", (context) => {
    const id = context.req.param("id");
    if (!uploads.delete(context.get("scope"), id)) throw notFound(id);
    return context.json({ id, object: "file", deleted: true });
  });
};
