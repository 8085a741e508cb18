/** `saccade verify DIR`: does a model reproduce its recorded inputs and outputs? */
import type { Command } from "commander";
import type { VerifyResult } from "../verify/verify.js";
import { verifyFolder } from "../verify/verify-folder.node.js";
import type { CommandContext } from "./command-context.js";
import { addEngineOptions, type EngineFlags, option, parseNumber } from "./options.js";
import { formatTable } from "./table.js";
import type { Terminal } from "./terminal.js";

type VerifyFlags = EngineFlags & { readonly json?: boolean; readonly tolerance?: number };

/** JSON has no infinity: the error of what was not produced, or not finite, is null with a reason. */
const toJson = ({ ok, tensors }: VerifyResult): string =>
  JSON.stringify({
    ok,
    tensors: tensors.map(({ name, relativeError, ...rest }) => ({
      name,
      relativeError: Number.isFinite(relativeError) ? relativeError : null,
      ...rest,
    })),
  });

const toText = ({ ok, tensors }: VerifyResult, { colors }: Terminal): string => {
  const rows = tensors.map(({ name, relativeError, tolerance, ok: passed, reason }) => [
    name,
    Number.isFinite(relativeError) ? relativeError.toExponential(1) : "-",
    passed ? colors.green("ok") : colors.red(`FAILED (${reason ?? `above ${tolerance}`})`),
  ]);
  const failed = tensors.filter((tensor) => !tensor.ok).length;
  const largest = Math.max(...tensors.map(({ relativeError }) => relativeError));
  const verdict = ok
    ? colors.green(`ok: ${tensors.length} tensors, largest error ${largest.toExponential(1)}`)
    : colors.red(`FAILED: ${failed} of ${tensors.length} tensors`);
  return `${formatTable(["tensor", "error", "verdict"], rows, colors)}\n${verdict}\n`;
};

export const verify = async (
  folder: string,
  { provider, threads, tolerance, json }: VerifyFlags,
  { terminal, fail }: CommandContext,
): Promise<void> => {
  terminal.progress(`running ${folder}`);
  const result = await verifyFolder(folder, { provider, threads, tolerance });
  await terminal.write(json ? `${toJson(result)}\n` : toText(result, terminal));
  if (!result.ok) fail();
};

/** Adds `verify` to the program. */
export const addVerifyCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("verify")
    .summary("compare a model with recorded outputs")
    .description(
      "Runs a model folder that holds recorded inputs and outputs (io.safetensors) and prints, per tensor, the largest error relative to the tensor's largest value. Exit code 1 when one fails or is not produced.",
    )
    .argument(
      "<folder>",
      "model folder with io.safetensors, or images with recorded preprocessing",
    );
  addEngineOptions(command)
    .addOption(
      option("--tolerance <x>", "largest accepted error (default: 1e-4; images: 1e-5)").argParser(
        parseNumber,
      ),
    )
    .addOption(option("--json", "one JSON object on standard output"))
    .action((folder: string, flags: VerifyFlags) => verify(folder, flags, contextOf()));
};
