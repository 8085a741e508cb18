import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { isAbsolute, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ApiError, invalidRequest } from "../api/api-error.js";

export type ReadLocalMedia = (url: string, param: string) => Promise<Uint8Array>;

const notAllowed = (param: string): ApiError =>
  new ApiError(403, "The file is not in the folder that this server may read media from.", {
    type: "permission_error",
    code: "media_not_allowed",
    param,
  });

const isBelow = (folder: string, path: string): boolean => {
  const inside = relative(folder, path);
  return inside !== "" && !inside.startsWith("..") && !isAbsolute(inside);
};

/**
 * Reads `file://` media below `folder`, symbolic links followed first; without a folder none. Whether a
 * file outside exists is not told.
 */
export const createLocalMedia = (folder: string | undefined, maxBytes: number): ReadLocalMedia => {
  const root = folder === undefined ? undefined : realpath(resolve(folder));
  // Told by the first read; nobody may be waiting for it before.
  root?.catch(() => {});
  return async (url, param) => {
    if (root === undefined) {
      throw new ApiError(403, "This server reads no files; send the medium as a data URL.", {
        type: "permission_error",
        code: "media_not_allowed",
        param,
      });
    }
    const base = await root;
    let path: string;
    try {
      path = fileURLToPath(url);
    } catch {
      throw invalidRequest(
        "A file's address must be like file:///folder/name.",
        "invalid_url",
        param,
      );
    }
    if (!isBelow(base, resolve(path))) throw notAllowed(param);
    const real = await realpath(path).catch(() => undefined);
    if (real === undefined)
      throw invalidRequest("There is no such file.", "media_not_found", param);
    if (!isBelow(base, real)) throw notAllowed(param);
    // A device or pipe may never end, and opening one may already wait for ever.
    const file = await open(real, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    try {
      const stat = await file.stat();
      if (!stat.isFile()) throw invalidRequest("It is no regular file.", "media_not_found", param);
      if (stat.size > maxBytes) {
        throw invalidRequest(
          `A medium may have ${maxBytes} bytes, the file has ${stat.size}.`,
          "limit_exceeded",
          param,
        );
      }
      return await file.readFile();
    } finally {
      await file.close();
    }
  };
};
