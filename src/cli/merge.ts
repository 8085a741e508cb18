/** `saccade merge MODEL --adapter FOLDER --output FOLDER`: a model with an adapter's additions in its weights. */
import type { Command } from "commander";
import { mergeAdapterIntoFolder } from "../train/merged-model.node.js";
import type { CommandContext } from "./command-context.js";
import { showDownloads } from "./open-model.js";
import { option } from "./options.js";
import { formatCount } from "./quantities.js";

type MergeFlags = {
  readonly offline?: boolean;
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly adapter: string;
  readonly output: string;
  readonly json?: boolean;
};

export const merge = async (
  model: string,
  { adapter, output, json, offline, revision, cacheDir }: MergeFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const merged = await mergeAdapterIntoFolder(model, adapter, output, {
    offline,
    revision,
    cacheDir,
    signal,
    onProgress: showDownloads(terminal),
  });
  await terminal.write(
    json
      ? `${JSON.stringify({ model, adapter, output, changedTensors: merged })}\n`
      : `${output}: ${model} with ${formatCount(merged)} tensors of ${adapter}\n`,
  );
};

/** Adds `merge` to the program. */
export const addMergeCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("merge")
    .summary("write a model with a LoRA adapter in its weights")
    .description(
      "Writes the model with the additions of a LoRA adapter (PEFT's layout) in its weights, in the layout of the model. The folder appears complete or not at all; one that holds files is refused.",
    )
    .argument("<model>", "folder or hub repository that the adapter was trained on");
  command
    .addOption(option("--adapter <folder>", "the adapter").makeOptionMandatory())
    .addOption(option("--output <folder>", "a new or empty folder").makeOptionMandatory())
    .addOption(option("--offline", "never connect; the model is a folder or in the cache"))
    .addOption(option("--revision <name>", "branch, tag or commit of a hub model (default: main)"))
    .addOption(option("--cache-dir <folder>", "the Hugging Face cache (default: its own place)"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((model: string, flags: MergeFlags) => merge(model, flags, contextOf()));
};
