import { ApiError } from "../api/api-error.js";
import type { App } from "../app.js";
import { fileResponse, type SentFile } from "./file-response.js";
import type { ModelFiles } from "./model-files.js";

const decoded = (path: string): string => {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
};

/**
 * The web page at `/`, and the files of shared models below `/models/`. Paths are looked up among the
 * listed ones; none is ever joined with a folder.
 */
export const addPageRoutes = (
  app: App,
  page: ReadonlyMap<string, SentFile>,
  { files }: ModelFiles,
): void => {
  for (const [path, file] of page) app.get(path, ({ req }) => fileResponse(req.raw, file));
  app.get("/models/*", ({ req }) => {
    const file = files.get(decoded(req.path));
    if (file !== undefined) return fileResponse(req.raw, file);
    throw new ApiError(404, "There is no such file of a shared model.", {
      type: "not_found_error",
      code: "file_not_found",
    });
  });
};
