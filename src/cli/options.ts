/** Options that several commands share, and their translation to the library's. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { GenerateOptions } from "../generate/answer.js";
import type { LoadModelOptions } from "../generate/load-model.node.js";
import type { Provider } from "../graph/index.js";
import type { Size } from "../image/image.js";
import { fixedAvgLlava } from "../systems/avg-llava-config.js";
import { paperLlavaMini } from "../systems/llava-mini-config.js";
import type { TokenChoice } from "../systems/token-choice.js";
import { type LlavaTemplateName, llavaTemplates } from "../text/llava-templates.js";

/** `--max-tokens` → SACCADE_MAX_TOKENS. */
const environmentName = (longFlag: string): string =>
  `SACCADE_${longFlag.replace(/^--/, "").replaceAll("-", "_").toUpperCase()}`;

/** An option that an environment variable may set too. */
export const option = (flags: string, description: string): Option => {
  const created = new Option(flags, description);
  return created.long ? created.env(environmentName(created.long)) : created;
};

export const parseNumber = (text: string): number => {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) {
    throw new InvalidArgumentError(`Give a number, got "${text}".`);
  }
  return value;
};

export const parseInteger = (text: string): number => {
  if (!/^-?\d+$/.test(text.trim()) || !Number.isSafeInteger(Number(text))) {
    throw new InvalidArgumentError(`Give a whole number, got "${text}".`);
  }
  return Number(text);
};

export const parseCount = (text: string): number => {
  const value = parseInteger(text);
  if (value < 1)
    throw new InvalidArgumentError(`Give a whole number of at least 1, got "${text}".`);
  return value;
};

/** `640x480` in pixels. */
export const parseSize = (text: string): Size => {
  const [, width, height] = /^(\d+)x(\d+)$/i.exec(text.trim()) ?? [];
  if (!(Number(width) > 0 && Number(height) > 0)) {
    throw new InvalidArgumentError(`Give a size in pixels like 640x480, got "${text}".`);
  }
  return { width: Number(width), height: Number(height) };
};

export const collect = (text: string, previous: readonly string[] = []): string[] => [
  ...previous,
  text,
];

export type EngineFlags = { readonly provider?: Provider; readonly threads?: number };

export const addEngineOptions = (command: Command): Command =>
  command
    .addOption(
      option("--provider <name>", "what computes; there is no fallback (default: cpu)").choices([
        "cpu",
        "webgpu",
        "cuda",
      ]),
    )
    .addOption(
      option("--threads <n>", "threads of one operator (default: all)").argParser(parseCount),
    );

export type FolderFlags = {
  readonly offline?: boolean;
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly variant?: "released" | "paper" | "fixed";
};

export const addFolderOptions = (command: Command): Command =>
  command
    .addOption(option("--offline", "never connect; the model is a folder or in the cache"))
    .addOption(option("--revision <name>", "branch, tag or commit of a hub model (default: main)"))
    .addOption(option("--cache-dir <folder>", "the Hugging Face cache (default: its own place)"))
    .addOption(
      option(
        "--variant <name>",
        "as released (default); LLaVA-Mini as in the paper; AVG-LLaVA with its flaws fixed",
      ).choices(["released", "paper", "fixed"]),
    );

export type ModelFlags = EngineFlags &
  FolderFlags & {
    readonly adapter?: string;
    readonly template?: LlavaTemplateName | "model";
    readonly contextLength?: number;
  };

export const addModelOptions = (command: Command): Command =>
  addFolderOptions(addEngineOptions(command))
    .addOption(option("--adapter <folder>", "LoRA adapter (PEFT's layout) to add to the model"))
    .addOption(
      option("--template <name>", "chat template (default: by architecture)").choices([
        "model",
        ...Object.keys(llavaTemplates),
      ]),
    )
    .addOption(
      option("--context-length <n>", "most tokens of prompt and answer").argParser(parseCount),
    );

/** The library's loading options; absent flags stay absent. */
export const loadOptionsOf = ({ variant, ...flags }: ModelFlags): LoadModelOptions => ({
  provider: flags.provider,
  threads: flags.threads,
  offline: flags.offline,
  revision: flags.revision,
  cacheDir: flags.cacheDir,
  adapter: flags.adapter,
  template: flags.template,
  contextLength: flags.contextLength,
  ...(variant === "paper" && { variant: paperLlavaMini }),
  ...(variant === "fixed" && { avgLlava: fixedAvgLlava }),
});

export type TokenChoiceFlags = {
  readonly granularity?: number;
  readonly maxSoftTokens?: number;
  readonly detail?: "low" | "high" | "auto";
};

export type AnswerFlags = TokenChoiceFlags & {
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly bos?: "single" | "double";
  readonly system?: string;
};

/** What is asked of the tokens of an image. */
export const addTokenChoiceOptions = (command: Command): Command =>
  command
    .addOption(
      option("--detail <how>", "tokens of an image: fewest, most, or the model's choice").choices([
        "low",
        "high",
        "auto",
      ]),
    )
    .addOption(
      option("--granularity <n>", "tokens of a view, one of the model's granularities").argParser(
        parseCount,
      ),
    )
    .addOption(
      option("--max-soft-tokens <n>", "most tokens of an image, whatever else is asked").argParser(
        parseCount,
      ),
    );

export const addAnswerOptions = (command: Command): Command =>
  addTokenChoiceOptions(command)
    .addOption(option("--system <text>", "system text (default: the template's)"))
    .addOption(
      option("--max-tokens <n>", "most tokens of an answer (default: 512)").argParser(parseCount),
    )
    .addOption(
      option("--temperature <x>", "0 takes the most likely token (default: 0)").argParser(
        parseNumber,
      ),
    )
    .addOption(option("--top-k <n>", "draw among the n most likely tokens").argParser(parseInteger))
    .addOption(
      option("--top-p <x>", "draw among tokens that add up to this share").argParser(parseNumber),
    )
    .addOption(
      option("--min-p <x>", "draw among tokens this likely relative to the best").argParser(
        parseNumber,
      ),
    )
    .addOption(
      option("--repetition-penalty <x>", "above 1, what occurred is less likely").argParser(
        parseNumber,
      ),
    )
    .addOption(option("--seed <n>", "equal seeds draw equal tokens").argParser(parseInteger))
    .addOption(option("--stop <text>", "ends the answer; may be repeated").argParser(collect))
    .addOption(
      option("--bos <rule>", "how many begin-of-text tokens").choices(["single", "double"]),
    );

/** What is asked of images' tokens; absent where nothing is. */
export const tokenChoiceOf = ({
  granularity,
  maxSoftTokens,
  detail,
}: TokenChoiceFlags): Pick<GenerateOptions, "choice"> => {
  const choice: TokenChoice = {
    ...(granularity !== undefined && { granularity }),
    ...(maxSoftTokens !== undefined && { maxSoftTokens }),
    ...(detail !== undefined && { detail }),
  };
  return Object.keys(choice).length === 0 ? {} : { choice };
};

/** The library's generation options; absent flags stay absent. */
export const generateOptionsOf = (flags: AnswerFlags): GenerateOptions => ({
  ...tokenChoiceOf(flags),
  maxTokens: flags.maxTokens,
  temperature: flags.temperature,
  topK: flags.topK,
  topP: flags.topP,
  minP: flags.minP,
  repetitionPenalty: flags.repetitionPenalty,
  seed: flags.seed,
  stopStrings: flags.stop,
  bos: flags.bos,
});

/** A medium as the command line names it; `-` is standard input. */
export type Attachment = { readonly kind: "any" | "image" | "video"; readonly path: string };

export type MediaFlags = {
  readonly attachments: readonly Attachment[];
  readonly frames?: number;
  readonly frameRule?: "per-second" | "uniform" | "all";
};

/**
 * Adds the media options. The three kinds of attachments share one list, so that their order on the
 * command line is kept; environment variables do not set them.
 */
export const addMediaOptions = (command: Command): (() => readonly Attachment[]) => {
  const attachments: Attachment[] = [];
  const add = (kind: Attachment["kind"]) => (path: string) => {
    attachments.push({ kind, path });
    return path;
  };
  command
    .addOption(
      new Option(
        "-a, --attachment <file>",
        "image or video, by its content; - is standard input",
      ).argParser(add("any")),
    )
    .addOption(new Option("--image <file>", "image; may be repeated").argParser(add("image")))
    .addOption(
      new Option("--video <file>", "video, animation or folder of frames").argParser(add("video")),
    )
    .addOption(
      option("--frames <n>", "most frames of a video; for `uniform`, how many").argParser(
        parseCount,
      ),
    )
    .addOption(
      option("--frame-rule <name>", "which frames (default: per-second)").choices([
        "per-second",
        "uniform",
        "all",
      ]),
    );
  return () => attachments;
};
