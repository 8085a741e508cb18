import { basename } from "node:path";
import { type LoadModelOptions, loadModel } from "../generate/load-model.node.js";
import type { VisionLanguageModel } from "../generate/model.js";
import type { DownloadProgress } from "../weights/hub-download.node.js";
import type { Terminal } from "./terminal.js";

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Shows downloads: a moving line on a terminal, else one line a file. */
export const showDownloads = (terminal: Terminal): ((progress: DownloadProgress) => void) => {
  let lastFile = "";
  return ({ file, fileIndex, numFiles, receivedBytes, totalBytes }) => {
    if (file !== lastFile) {
      terminal.notice(`downloading ${basename(file)} (${fileIndex + 1} of ${numFiles})`);
      lastFile = file;
    }
    terminal.progress(`${megabytes(receivedBytes)} of ${megabytes(totalBytes)}`);
  };
};

/** Loads a model, telling about downloads; throws what `loadModel` throws. */
export const openModel = (
  name: string,
  options: LoadModelOptions,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<VisionLanguageModel> => {
  terminal.progress(`loading ${name}`);
  return loadModel(name, { ...options, signal, onProgress: showDownloads(terminal) });
};
