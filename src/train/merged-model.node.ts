import { basename } from "node:path";
import { mergeAdapter } from "../load/lora-adapter.js";
import { readAdapter } from "../load/lora-adapter-folder.js";
import { filesOnDisk } from "../weights/folder-files.node.js";
import type { ModelFolderOptions } from "../weights/model-folder.node.js";
import { createRenameTable } from "../weights/rename.js";
import { openStartingModel } from "./starting-model.node.js";

/**
 * Writes `model` (a folder or repository) with an adapter's additions in its weights to `output`, in
 * the model's own layout; whole or not at all. Returns how many tensors changed. All of them are in
 * memory at once. Throws as `openStartingModel`, its `save` and `readAdapter`.
 */
export const mergeAdapterIntoFolder = async (
  model: string,
  adapter: string,
  output: string,
  options: ModelFolderOptions = {},
): Promise<number> => {
  const opened = await openStartingModel(
    { model: { from: model, initialise: [] }, seed: 0 },
    model,
    options,
  );
  const { tensors, scale } = await readAdapter(
    filesOnDisk(adapter),
    createRenameTable(opened.system.names),
  );
  const merged = await mergeAdapter(tensors, scale, opened.read);
  await opened.save(
    output,
    merged,
    `# ${basename(model)} with ${basename(adapter)}\n\n\`${model}\` with the additions of the LoRA adapter \`${adapter}\` in its weights.\n`,
  );
  return merged.size;
};
