import type { Command } from "commander";
import { UsageError } from "./exit.js";

const off = new Set(["", "0", "false", "off", "no"]);
const on = new Set(["1", "true", "on", "yes"]);

/**
 * Commander turns a switch on as soon as its variable exists; SACCADE_OFFLINE=0 means off. Throws
 * `UsageError` for a value that is neither.
 */
export const checkSwitches = (command: Command, environment: NodeJS.ProcessEnv): void => {
  for (const option of command.options) {
    const attribute = option.attributeName();
    if (!option.isBoolean() || command.getOptionValueSource(attribute) !== "env") continue;
    const value = (environment[option.envVar ?? ""] ?? "").toLowerCase();
    if (off.has(value)) command.setOptionValueWithSource(attribute, undefined, "default");
    else if (!on.has(value)) {
      throw new UsageError(`${option.envVar} must be 1 or 0, got "${value}"`);
    }
  }
};
