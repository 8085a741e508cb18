/** `saccade explain MODEL IMAGE QUESTION`: an answer, and how the model came to it, as one page. */
import { basename, extname } from "node:path";
import type { Command } from "commander";
import { explainAnswer } from "../analyze/explanation.js";
import type { VisionLanguageModel } from "../generate/model.js";
import { createSampler } from "../generate/sampling.js";
import { decodeImage } from "../image/decode.node.js";
import { writeFileAtomically } from "../weights/atomic-file.node.js";
import type { CommandContext } from "./command-context.js";
import { openCostModel } from "./cost-model.js";
import { UsageError } from "./exit.js";
import { writeExplainPage } from "./explain-page/explain-page.js";
import { openModel } from "./open-model.js";
import {
  type AnswerFlags,
  addAnswerOptions,
  addModelOptions,
  generateOptionsOf,
  loadOptionsOf,
  type ModelFlags,
  option,
  parseCount,
} from "./options.js";
import { toDataAddress } from "./picture-address.js";

type ExplainFlags = ModelFlags &
  AnswerFlags & {
    readonly output?: string;
    readonly layersPerBlock?: number;
    readonly json?: boolean;
  };

export const explain = async (
  modelName: string,
  imagePath: string,
  question: string,
  flags: ExplainFlags,
  { terminal, signal }: CommandContext,
): Promise<void> => {
  const options = generateOptionsOf(flags);
  // A wrong value is told before anything is loaded.
  createSampler(options);
  const page = flags.output ?? `${basename(imagePath, extname(imagePath))}.explained.html`;
  if (!/\.html?$/i.test(page)) {
    throw new UsageError(`explain: --output writes a page, got ${page}; name it .html`);
  }
  const image = await decodeImage(imagePath);
  const loadOptions = loadOptionsOf(flags);
  const { weightBytes } = await openCostModel(modelName, false, loadOptions);
  let model: VisionLanguageModel | undefined;
  try {
    model = await openModel(modelName, loadOptions, terminal, signal);
    terminal.progress("answering, and looking inside");
    const explanation = await explainAnswer(model, image, question, {
      ...options,
      signal,
      ...(flags.system !== undefined && { system: flags.system }),
      ...(flags.layersPerBlock !== undefined && { blockSize: flags.layersPerBlock }),
      ...(weightBytes !== undefined && { weightBytes }),
    });
    const text = writeExplainPage(explanation, await toDataAddress(image));
    // Asked for JSON alone, a page is written only where one is named.
    if (!flags.json || flags.output !== undefined) {
      await writeFileAtomically(page, (file) => file.writeFile(text));
      terminal.notice(`page: ${page}`);
    }
    await terminal.write(
      flags.json ? `${JSON.stringify(explanation)}\n` : `${explanation.answer.text}\n`,
    );
  } finally {
    await model?.close();
  }
};

/** Adds `explain` to the program. */
export const addExplainCommand = (program: Command, contextOf: () => CommandContext): void => {
  const command = program
    .command("explain")
    .summary("an answer, and what the model looked at, as a page")
    .description(
      "Answers a question about an image and writes one HTML page that needs no other file: the views, the tokens spent, heat maps for each token and layer, what the answer loses without the image, times and cost.",
    )
    .argument("<model>", "folder, or hub repository org/name")
    .argument("<image>", "image file")
    .argument("<question>", "the question, in quotes");
  addModelOptions(addAnswerOptions(command))
    .addOption(option("--output <file>", "the page (default: IMAGE.explained.html, here)"))
    .addOption(
      option(
        "--layers-per-block <n>",
        "layers that lose the image at a time (default: an eighth)",
      ).argParser(parseCount),
    )
    .addOption(option("--json", "the explanation as one JSON object on standard output"))
    .action((model: string, image: string, question: string, flags: ExplainFlags) =>
      explain(model, image, question, flags, contextOf()),
    );
};
