/** The efficiency figures of AVG-LLaVA's paper (arXiv 2410.02745). */
import { conventions } from "../cost/convention.js";
import { type CostReport, createCostEstimator } from "../cost/cost-report.js";
import { type PublishedSize, publishedModel } from "../load/published-sizes.js";
import { estimatePublished, type FigureTable } from "./efficiency-figure.js";

const { released } = conventions;
const square = { width: 672, height: 672 };
const granularities = [576, 288, 144, 72, 36] as const;
const avg = (routed: number): CostReport =>
  estimatePublished("avg-llava-7b", { media: [{ ...square, routed }], textTokens: 70 }, released);
const nextBaseline = (): CostReport =>
  estimatePublished("llava-next-7b", { media: [square], textTokens: 70 }, released);

const avgTokens = (): FigureTable => ({
  title: "AVG-LLaVA: visual tokens of an image of 672x672 pixels",
  unit: "tokens",
  about: "Published: five views of the granularity. Ours: what the released code makes of it.",
  figures: granularities.map((granularity) => ({
    what: `granularity ${granularity}`,
    published: String(5 * granularity),
    ours: avg(granularity).visionTokens,
    note:
      granularity === 288 || granularity === 72
        ? "error in the released code: unpadding takes the pooled lattice's aspect and cuts half of the rows"
        : "the paper leaves out the newline after each row of tiles",
  })),
});

const avgSpeed = (): FigureTable => {
  const [baseline, finest, coarsest] = [nextBaseline(), avg(576), avg(36)].map(
    ({ flops }) => flops.total,
  );
  /** Speed-up by operations if this share of tokens is kept, by images at 576 and at 36. */
  const bound = (kept: number): number => {
    const coarse = (1 - kept) / (1 - 36 / 576);
    return baseline / (coarse * coarsest + (1 - coarse) * finest);
  };
  const note = "a time";
  const rows = [
    ["AI2D", "2.53", 14.7],
    ["VizWiz", "1.77", 26.4],
    ["MMMU", "1.87", 30.0],
    ["ScienceQA", "1.41", 54.9],
    ["MME", "1.19", 69.3],
    ["GQA", "1.14", 80.0],
    ["ChartQA", "0.97", 99.1],
  ] as const;
  return {
    title: "AVG-LLaVA, Table 3: speed-up against LLaVA-NeXT",
    unit: "times",
    about:
      "Published: measured, decoding included. Ours: the ratio of operations while the prompt is read (672x672, 70 text tokens, the router included) if images at 36 and at 576 tokens a view keep the printed share; it bounds the times.",
    figures: rows.map(([set, published, kept]) => ({
      what: `${set}, ${kept} % of tokens kept`,
      published,
      ours: bound(kept / 100),
      note,
    })),
  };
};

const avgParameters = (): FigureTable => {
  const parameters = (name: PublishedSize): number =>
    createCostEstimator(publishedModel(name), { weightType: "uint8" })({
      media: [],
      textTokens: 1,
    }).bytes.weights;
  const [with_, without] = [parameters("avg-llava-7b"), parameters("llava-next-7b")];
  return {
    title: "AVG-LLaVA: parameters that the router adds",
    unit: "%",
    about: "Of LLaVA-NeXT's.",
    figures: [{ what: "router", published: "1.66", ours: (100 * (with_ - without)) / without }],
  };
};

export const compareAvgLlava = (): FigureTable[] => [avgTokens(), avgSpeed(), avgParameters()];
