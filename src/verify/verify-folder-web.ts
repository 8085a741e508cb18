import { createWebEngine, type WebEngineOptions } from "../graph/engine-web.js";
import { openWebFolder, type WebFolderSource } from "../load/folder-web.js";
import type { FetchOptions } from "../weights/folder-files-web.js";
import { parseSafetensors } from "../weights/safetensors.js";
import { noRecordedFile, recordedFileName, verifyRecordedFolder } from "./recorded-folder.js";
import type { VerifyResult } from "./verify.js";

export type VerifyWebOptions = Omit<WebEngineOptions, "files"> &
  FetchOptions & {
    /** Largest accepted difference, relative to each tensor's largest value. */
    readonly tolerance?: number;
  };

/**
 * Verifies, in a browser, a model with recorded inputs and outputs. Throws as `openWebFolder` and
 * `createWebEngine`, and `ModelNotFoundError` where nothing was recorded.
 */
export const verifyWebFolder = async (
  from: WebFolderSource,
  { tolerance, ...options }: VerifyWebOptions,
): Promise<VerifyResult> => {
  const { folder, readFile, weightFiles } = await openWebFolder(from, options);
  const file = await readFile(recordedFileName);
  if (file === undefined) throw noRecordedFile(folder.path);
  const bytes = new Uint8Array(await file.arrayBuffer());
  const { tensors: recorded } = parseSafetensors(bytes, recordedFileName);
  const readRecordedFile = async (name: string) => {
    const further = await readFile(name);
    if (further === undefined) return undefined;
    return parseSafetensors(new Uint8Array(await further.arrayBuffer()), name).tensors;
  };
  const files = await weightFiles(folder.tensors);
  const engine = createWebEngine({ ...options, files });
  try {
    return await verifyRecordedFolder(
      folder,
      recorded,
      folder.tensors,
      engine,
      readRecordedFile,
      tolerance,
    );
  } finally {
    await engine.close();
  }
};
