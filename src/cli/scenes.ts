/** `saccade scenes FOLDER`: generated images and clips with exact questions and answers. */
import { writeFile } from "node:fs/promises";
import { type Command, InvalidArgumentError } from "commander";
import {
  createSceneSheet,
  type RecordContent,
  type SceneKind,
  sceneKinds,
  splits,
  type WriteScenesOptions,
  writeScenes,
  writeSceneTokenizer,
} from "../data/scenes/index.node.js";
import { recordContents } from "../data/scenes/llava-records.js";
import type { CommandContext } from "./command-context.js";
import { UsageError } from "./exit.js";
import { option, parseInteger, parseNumber } from "./options.js";

type ScenesFlags = Pick<WriteScenesOptions, "seed" | "split" | "aspect" | "grid" | "turns"> & {
  readonly count?: number;
  readonly first?: number;
  readonly kind?: readonly SceneKind[];
  readonly content?: readonly RecordContent[];
  readonly size?: number;
  readonly frames?: number;
  readonly family?: readonly string[];
  readonly perFamily?: number;
  readonly sheet?: string;
  readonly sheetScenes?: number;
  readonly tokenizer?: string;
  readonly json?: boolean;
};

const defaultCount = 1000;
const defaultSheetScenes = 24;

const parseList = (text: string): string[] =>
  text
    .split(",")
    .map((item) => item.trim())
    .filter((item) => item !== "");

/** Parses names separated by commas, each one of `allowed`. */
const parseNames =
  <Name extends string>(allowed: readonly Name[]) =>
  (text: string): Name[] =>
    parseList(text).map((item) => {
      const name = allowed.find((one) => one === item);
      if (name === undefined)
        throw new InvalidArgumentError(`Give some of ${allowed.join(", ")}, got "${item}".`);
      return name;
    });

const optionsOf = ({ kind, size, family, frames, content, ...flags }: ScenesFlags) => ({
  seed: flags.seed ?? 0,
  split: flags.split ?? ("train" as const),
  first: flags.first ?? 0,
  kinds: kind ?? (["simple"] as const),
  heightPx: size ?? 336,
  ...(flags.aspect !== undefined && { aspect: flags.aspect }),
  ...(flags.grid !== undefined && { grid: flags.grid }),
  ...(frames !== undefined && { numFrames: frames }),
  ...(family !== undefined && { families: family }),
  ...(flags.perFamily !== undefined && { perFamily: flags.perFamily }),
  ...(content !== undefined && { contents: content }),
  ...(flags.turns !== undefined && { turns: flags.turns }),
});

export const scenes = async (
  folder: string | undefined,
  flags: ScenesFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  if (folder === undefined && flags.sheet === undefined && flags.tokenizer === undefined)
    throw new UsageError("scenes: name a folder to write, or ask for --sheet or --tokenizer");
  const options = optionsOf(flags);
  const written: Record<string, unknown> = {};
  const lines: string[] = [];
  if (flags.sheet !== undefined) {
    const count =
      flags.sheetScenes ?? Math.min(flags.count ?? defaultSheetScenes, defaultSheetScenes);
    if (count < 1) throw new UsageError(`--sheet-scenes must be at least 1, got ${count}`);
    await writeFile(flags.sheet, await createSceneSheet({ ...options, count }));
    written.sheet = flags.sheet;
    lines.push(`${flags.sheet}: ${count} scenes with their questions`);
  }
  if (flags.tokenizer !== undefined) {
    written.tokenizer = await writeSceneTokenizer(flags.tokenizer);
    lines.push(`${flags.tokenizer}: tokenizer of Scenes`);
  }
  if (folder !== undefined) {
    const count = flags.count ?? defaultCount;
    const result = await writeScenes({
      ...options,
      folder,
      count,
      signal,
      onProgress: (done) => terminal.progress(`${done} of ${count} scenes`),
    });
    Object.assign(written, result);
    lines.push(
      `${result.folder}: ${result.numScenes} scenes, ${result.numRecords} records`,
      ...Object.entries(result.numByFamily)
        .sort(([one], [other]) => (one < other ? -1 : 1))
        .map(([family, number]) => `  ${family.padEnd(20)}${String(number).padStart(8)}`),
    );
  }
  await terminal.write(flags.json ? `${JSON.stringify(written)}\n` : `${lines.join("\n")}\n`);
};

/** Adds `scenes` to the program. */
export const addScenesCommand = (program: Command, contextOf: () => CommandContext): void => {
  program
    .command("scenes")
    .summary("write generated images with exact questions and answers")
    .description(
      "Writes generated scenes as a data set in LLaVA's JSON layout: images, clips, questions with their one right answer, descriptions. The same options always give the same files; train, validation and test never share a scene. The folder appears complete or not at all.",
    )
    .argument("[folder]", "a new or empty folder")
    .addOption(option("--count <n>", "scenes (default: 1000)").argParser(parseInteger))
    .addOption(option("--split <name>", "which world (default: train)").choices(splits))
    .addOption(option("--seed <n>", "of the split (default: 0)").argParser(parseInteger))
    .addOption(
      option("--first <n>", "index of the first scene (default: 0)").argParser(parseInteger),
    )
    .addOption(
      option("--kind <names>", `some of ${sceneKinds.join(",")} (default: simple)`).argParser(
        parseNames(sceneKinds),
      ),
    )
    .addOption(option("--size <px>", "height of the images (default: 336)").argParser(parseInteger))
    .addOption(option("--aspect <x>", "width over height (default: 1)").argParser(parseNumber))
    .addOption(option("--grid <name>", "cells (default: either)").choices(["2x2", "3x3"]))
    .addOption(option("--frames <n>", "frames of a clip (default: 8)").argParser(parseInteger))
    .addOption(
      option(
        "--content <names>",
        `some of ${recordContents.join(",")} (default: questions)`,
      ).argParser(parseNames(recordContents)),
    )
    .addOption(
      option("--turns <how>", "a record per question, or all in one (default: one)").choices([
        "one",
        "all",
      ]),
    )
    .addOption(option("--family <names>", "only these families, by commas").argParser(parseList))
    .addOption(
      option("--per-family <n>", "most questions of a family (default: 1)").argParser(parseInteger),
    )
    .addOption(option("--sheet <file>", "write a contact sheet (PNG), too"))
    .addOption(
      option("--sheet-scenes <n>", "scenes on the sheet (default: 24)").argParser(parseInteger),
    )
    .addOption(option("--tokenizer <folder>", "write the tokenizer of Scenes there"))
    .addOption(option("--json", "one JSON object on standard output"))
    .action((folder: string | undefined, flags: ScenesFlags) => scenes(folder, flags, contextOf()));
};
