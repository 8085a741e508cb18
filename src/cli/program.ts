import { readFileSync } from "node:fs";
import { Command } from "commander";
import { addAskCommand } from "./ask.js";
import { addBenchCommand } from "./bench.js";
import { addChatCommand } from "./chat.js";
import type { CommandContext } from "./command-context.js";
import { applyConfigFile } from "./config-file.js";
import { addCostCommand } from "./cost.js";
import { addDemoCommand } from "./demo.js";
import { checkSwitches } from "./environment.js";
import { addEvalCommand } from "./eval.js";
import { endingOf, exitCodes, Interrupted } from "./exit.js";
import { addExplainCommand } from "./explain.js";
import { addInitCommand } from "./init.js";
import { addInspectCommand } from "./inspect.js";
import { addMergeCommand } from "./merge.js";
import { option } from "./options.js";
import { addPlanCommand } from "./plan.js";
import { addScenesCommand } from "./scenes.js";
import { addServeCommand } from "./serve.js";
import { type ColorChoice, createTerminal, OutputClosed } from "./terminal.js";
import { addTrainCommand } from "./train.js";
import { addVerifyCommand } from "./verify.js";

const readVersion = (): string => {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return String((JSON.parse(text) as { version: unknown }).version);
};

const adders = [
  addAskCommand,
  addChatCommand,
  addServeCommand,
  addInspectCommand,
  addExplainCommand,
  addCostCommand,
  addBenchCommand,
  addPlanCommand,
  addVerifyCommand,
  addEvalCommand,
  addInitCommand,
  addTrainCommand,
  addMergeCommand,
  addScenesCommand,
  addDemoCommand,
];

/** Every command has these, wherever they stand on the command line. */
const addGeneralOptions = (command: Command): void => {
  command
    .addOption(
      option("--color <when>", "colours (default: auto, which heeds NO_COLOR)").choices([
        "auto",
        "on",
        "off",
      ]),
    )
    .addOption(option("--config <file>", "YAML or JSON file of flags; the command line wins"));
};

const createProgram = (contextOf: (color?: ColorChoice) => CommandContext): Command => {
  const program = new Command("saccade")
    .description("Vision-language models that look only as closely as the question needs.")
    .version(readVersion())
    .exitOverride()
    .showHelpAfterError("(add --help for the options)")
    .configureHelp({ showGlobalOptions: false })
    .addHelpText(
      "after",
      [
        "",
        "Every flag of a command but attachments can be set by an environment variable",
        "(--max-tokens by SACCADE_MAX_TOKENS) or in the YAML file given with --config.",
        "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted.",
      ].join("\n"),
    );
  for (const add of adders) {
    const before = program.commands.length;
    add(program, () => contextOf(program.commands[before].opts<{ color?: ColorChoice }>().color));
    addGeneralOptions(program.commands[before]);
  }
  program.hook("preAction", (_, command) => {
    checkSwitches(command, process.env);
    applyConfigFile(command);
  });
  return program;
};

/** Runs a command line to its end and returns the exit code. Signals abort what runs. */
export const runCommandLine = async (argv: readonly string[]): Promise<number> => {
  const controller = new AbortController();
  const handlers: (() => void)[] = [];
  let code: number = exitCodes.ok;
  let terminal = createTerminal();
  const contextOf = (color?: ColorChoice): CommandContext => {
    terminal = createTerminal({ color });
    return {
      terminal,
      signal: controller.signal,
      fail: () => {
        code = exitCodes.failure;
      },
      onInterrupt: (handler) => {
        handlers.push(handler);
        return () => handlers.splice(handlers.indexOf(handler), 1);
      },
    };
  };

  process.on("SIGINT", () => {
    const handler = handlers.at(-1);
    if (handler !== undefined) return handler();
    // The second time, nothing is waited for.
    if (controller.signal.aborted) process.exit(exitCodes.interrupted);
    controller.abort(new Interrupted());
  });
  process.on("SIGTERM", () => controller.abort(new Interrupted()));
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
    controller.abort(new OutputClosed());
  });
  process.stderr.on("error", () => {});

  try {
    await createProgram(contextOf).parseAsync(argv);
    return code;
  } catch (error) {
    const ending = endingOf(
      controller.signal.aborted ? controller.signal.reason : error,
      process.env,
    );
    if (ending.message !== undefined) {
      terminal.notice(`${terminal.noticeColors.red("error:")} ${ending.message}`);
    }
    return ending.code;
  } finally {
    // An input that nobody closes must not keep the program alive.
    process.stdin.unref?.();
  }
};
