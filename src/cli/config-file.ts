import { readFileSync } from "node:fs";
import type { Command, Option } from "commander";
import { InvalidArgumentError } from "commander";
import { parse } from "yaml";
import { UsageError } from "./exit.js";

/** Flags that a settings file may hold: those that an environment variable may hold, but itself. */
const settable = (command: Command): Map<string, Option> =>
  new Map(
    command.options
      .filter(({ envVar, long }) => envVar !== undefined && long !== "--config")
      .map((option) => [option.name(), option]),
  );

const readSettings = (path: string): Record<string, unknown> => {
  let parsed: unknown;
  try {
    parsed = parse(readFileSync(path, "utf8"));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`--config: ${path} must be a YAML (or JSON) file, got ${reason}`, {
      cause,
    });
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    throw new UsageError(`--config: ${path} must hold a table of flags, got something else`);
  }
  return { ...parsed };
};

const parseValue = (option: Option, value: unknown, path: string): unknown => {
  const fail = (reason: string): UsageError =>
    new UsageError(`--config: "${option.name()}" in ${path}: ${reason}`);
  if (option.isBoolean()) {
    if (typeof value === "boolean") return value;
    throw fail(`it must be true or false, got ${JSON.stringify(value)}`);
  }
  try {
    let parsed: unknown;
    for (const item of Array.isArray(value) ? value : [value]) {
      if (typeof item !== "string" && typeof item !== "number") {
        throw fail(`it must be a text or a number, got ${JSON.stringify(item)}`);
      }
      const text = String(item);
      parsed = option.parseArg ? option.parseArg<unknown>(text, parsed) : text;
    }
    return parsed;
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw fail(error.message);
    throw error;
  }
};

/**
 * Takes flags from the YAML or JSON file that `--config` names: keys are long flags without dashes. The
 * command line and environment variables win. Throws `UsageError` for a key that is no flag.
 */
export const applyConfigFile = (command: Command): void => {
  const { config: path } = command.opts<{ config?: string }>();
  if (path === undefined) return;
  const options = settable(command);
  for (const [key, value] of Object.entries(readSettings(path))) {
    const option = options.get(key);
    if (option === undefined) {
      throw new UsageError(
        `--config: "${key}" in ${path} is no flag of \`${command.name()}\`; its flags are ${[...options.keys()].join(", ")}`,
      );
    }
    const attribute = option.attributeName();
    const source = command.getOptionValueSource(attribute);
    if (source !== undefined && source !== "default") continue;
    command.setOptionValueWithSource(attribute, parseValue(option, value, path), "config");
  }
};
