/** `saccade init DIR --preset NAME`: a model folder with first weights, to be trained or looked at. */
import type { Command } from "commander";
import { writeNewModel } from "../load/new-model.node.js";
import { type PresetName, presets } from "../load/presets.js";
import type { CommandContext } from "./command-context.js";
import { option, parseInteger } from "./options.js";
import { formatCount } from "./quantities.js";

type InitFlags = { readonly preset: PresetName; readonly seed?: number; readonly json?: boolean };

export const init = async (
  folder: string,
  { preset, seed = 0, json }: InitFlags,
  { terminal }: CommandContext,
): Promise<void> => {
  const made = await writeNewModel(folder, preset, seed);
  await terminal.write(
    json
      ? `${JSON.stringify({ preset, seed, ...made })}\n`
      : `${made.path}: ${preset}, ${formatCount(made.parameters)} parameters, untrained\n`,
  );
};

/** Adds `init` to the program. */
export const addInitCommand = (program: Command, contextOf: () => CommandContext): void => {
  program
    .command("init")
    .summary("write a model folder with first weights")
    .description(
      "Writes a model folder with first (random) weights in the published layout. The folder appears complete or not at all; one that holds files is refused.",
    )
    .argument("<folder>", "a new or empty folder")
    .addOption(
      option("--preset <name>", "architecture").choices(Object.keys(presets)).makeOptionMandatory(),
    )
    .addOption(option("--seed <n>", "of the first weights (default: 0)").argParser(parseInteger))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((folder: string, flags: InitFlags) => init(folder, flags, contextOf()));
};
