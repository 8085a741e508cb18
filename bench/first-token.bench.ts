/**
 * Time to the first token by the rows of LLaVA-Mini's Table 13 (arXiv 2501.03895): LLaVA-1.5 against
 * LLaVA-Mini with 1, 4, 16 and 64 visual tokens; published widths, full depth, random weights.
 */
import { measureSystems } from "../src/measure/measure-systems.node.js";
import { note, printReport } from "./report.js";
import { fromEnvironment, interruption, ratioFigures, systemRows } from "./system-figures.js";

const rounds = fromEnvironment("ROUNDS", 3);
const numQuestionTokens = fromEnvironment("TEXT_TOKENS", 43);
/** Milliseconds on an A100, as printed. */
const published = { llava: 113.04, 1: 38.64, 4: 38.84, 16: 39.28, 64: 46.23 } as const;
const sides = [1, 2, 4, 8] as const;
const counts = [1, 4, 16, 64] as const;

const report = await measureSystems(
  [
    { name: "LLaVA-1.5", preset: "llava-1.5-7b" },
    ...sides.map((side, index) => ({
      name: `LLaVA-Mini, ${counts[index]}`,
      preset: "llava-mini-7b",
      changes: { compressor_size: side },
    })),
  ],
  { image: { width: 336, height: 336 }, textTokens: numQuestionTokens, newTokens: 1 },
  // A round takes minutes, so none is given away: the weights are in memory once they are written.
  {
    rounds,
    warmUp: 0,
    patienceMs: 60_000,
    signal: interruption(),
    onProgress: (text) => note(`first-token: ${text}`),
  },
);
const { machine, systems, shareOfOthers } = report;
printReport({
  benchmark: "first-token",
  about: `one image and a question of ${numQuestionTokens} tokens, until the scores of the first answer token`,
  setting: {
    provider: machine.provider,
    threads: machine.threads,
    rounds,
    weights: "all layers of the language model and of pre-fusion share one layer's bytes",
  },
  shareOfOthers,
  figures: [
    ...ratioFigures(report),
    ...counts.map((count) => ({
      name: `Table 13, A100: ${count} visual tokens faster than 576`,
      value: published.llava / published[count],
      unit: "x" as const,
    })),
    ...systems.flatMap(systemRows),
  ],
});
