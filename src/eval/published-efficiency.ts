/**
 * The efficiency figures that the papers print, beside what our graphs cost in each paper's own
 * convention. Where they differ, the reason is known and stated; a difference without one is an error.
 */
import { type CostConvention, conventions } from "../cost/convention.js";
import { type CostReport, type CostRequest, createCostEstimator } from "../cost/cost-report.js";
import { estimatePartOperations, evaluateParts } from "../cost/part-operations.js";
import { SaccadeError } from "../errors.js";
import { type PublishedSize, publishedModel } from "../load/published-sizes.js";
import type { LlavaUhdParams } from "../systems/llava-uhd.js";
import { llavaUhdVisionGraph } from "../systems/llava-uhd-graphs.js";
import { billedVision } from "../systems/llava-uhd-runs.js";

/** One printed number. */
export type Figure = {
  readonly what: string;
  /** As printed. */
  readonly published: string;
  readonly ours: number;
  /** Why ours is another number; required where it is, to the printed digit. */
  readonly note?: string;
};

export type FigureTable = {
  readonly title: string;
  readonly unit: string;
  readonly about: string;
  readonly figures: readonly Figure[];
};

const decimalsOf = (printed: string): number => printed.split(".")[1]?.length ?? 0;

/** Our number with the digits that were printed. */
export const printed = ({ published, ours }: Figure): string => ours.toFixed(decimalsOf(published));

/** Whether ours is the printed number. */
export const isEqual = (figure: Figure): boolean => printed(figure) === figure.published;

const { linear, macs, released } = conventions;
const view = { width: 336, height: 336 };
const square = { width: 672, height: 672 };
/** Text of LLaVA-Mini's figures; the paper does not say it, its totals do. */
const questionTokens = 43;

type Changes = Readonly<Record<string, unknown>>;
const estimate = (
  name: PublishedSize,
  request: CostRequest,
  convention: CostConvention,
  changes: Changes = {},
): CostReport => createCostEstimator(publishedModel(name, changes), { convention })(request);

const asked = (size: typeof view): CostRequest => ({ media: [size], textTokens: questionTokens });
const mini = (changes: Changes = {}): CostReport =>
  estimate("llava-mini-7b", asked(view), linear, changes);
const llava = (): CostReport => estimate("llava-1.5-7b", asked(view), linear);
const llavaAt672 = (): CostReport =>
  estimate("llava-next-7b", asked(square), linear, { mm_patch_merge_type: "flat" });
const miniHd = (): CostReport => estimate("llava-mini-hd-7b", asked(square), linear);
const tera = (flops: number): number => flops / 1e12;

const table6 = (): FigureTable => ({
  title: "LLaVA-Mini, Table 6: fusion layers and visual tokens",
  unit: "TFLOP",
  about: `Vicuna-7B, 336 pixels, ${questionTokens} text tokens; linear layers at 2 per multiply-add.`,
  figures: [
    { what: "LLaVA-1.5, 576 tokens", published: "8.55", ours: tera(llava().flops.total) },
    ...(
      [
        ["0.96", 1],
        ["1.16", 4],
        ["1.79", 8],
        ["2.85", 12],
      ] as const
    ).map(
      ([published, side]): Figure => ({
        what: `no fusion, ${side ** 2} token${side === 1 ? "" : "s"}`,
        published,
        ours: tera(mini({ prefusion_layer_num: 0, compressor_size: side }).flops.total),
      }),
    ),
    ...["1.21", "1.46", "1.81", "1.96"].map((published, index): Figure => {
      const layers = index + 1;
      return {
        what: `${layers} fusion layer${layers === 1 ? "" : "s"}, 1 token`,
        published,
        ours: tera(mini({ prefusion_layer_num: layers }).flops.total),
        ...(layers === 3 && {
          note: "error in the paper: every layer adds 0.25, so the third gives 1.71; a slip of one digit",
        }),
      };
    }),
  ],
});

const table8 = (): FigureTable => ({
  title: "LLaVA-Mini, Table 8: the compressor",
  unit: "GFLOP",
  about:
    "The profiler sees the products of torch's multi-head attention here, and not those of the transformers.",
  figures: (
    [
      ["2.42", 1],
      ["2.44", 2],
    ] as const
  ).map(([published, side]) => ({
    what: `${side ** 2} quer${side === 1 ? "y" : "ies"}`,
    published,
    ours: mini({ compressor_size: side }).flops.compression / 1e9,
  })),
});

const table14 = (): FigureTable => {
  const [plain, small, large, hd] = [llava(), mini(), llavaAt672(), miniHd()];
  const parts = (
    name: string,
    { flops }: CostReport,
    rows: readonly (readonly [keyof CostReport["flops"], string, string?])[],
  ): Figure[] =>
    rows.map(([part, published, note]) => ({
      what: `${name}: ${part === "prefill" ? "language model" : part}`,
      published,
      ours: tera(flops[part]),
      ...(note && { note }),
    }));
  const oneLayer = "error in the paper: the printed value is";
  return {
    title: "LLaVA-Mini, Table 14: operations by part",
    unit: "TFLOP",
    about: "The same convention. Totals at 336 pixels are right, their split is not.",
    figures: [
      ...parts("LLaVA-1.5, 336", plain, [
        ["vision", "0.349"],
        ["projector", "0.024"],
        ["prefill", "8.177", "the printed value fits 42.8 text tokens"],
        ["total", "8.55"],
      ]),
      ...parts("LLaVA-Mini, 336", small, [
        ["vision", "0.349"],
        ["projector", "0.024"],
        ["compression", "0.001", `${oneLayer} in multiply-adds, 1.21 G; all others are in FLOPs`],
        ["fusion", "0.125", `${oneLayer} the multiply-adds of one of the four layers`],
        ["prefill", "1.460", `${oneLayer} what is left to the right total; it fits no 44 tokens`],
        ["total", "1.96"],
      ]),
      ...parts("LLaVA, 672", large, [
        ["vision", "1.745", "five times the rounded 0.349"],
        ["projector", "0.121"],
        ["prefill", "38.623", "the printed value fits 42.8 text tokens"],
        ["total", "40.49"],
      ]),
      ...parts("LLaVA-Mini-HD, 672", hd, [
        ["vision", "1.745", "five times the rounded 0.349"],
        ["projector", "0.121", "ours counts the 64 compressed tokens, which are projected as well"],
        ["compression", "0.009", "not explained: the formula that meets Table 8 gives 10.5 G"],
        ["fusion", "1.183", `${oneLayer} one of the four layers`],
        ["prefill", "4.131", `${oneLayer} too high for 107 tokens; 1.414 is theirs`],
        ["total", "7.19", "error in the paper: the sum of wrong parts; section 5.2 says 8.13"],
      ]),
      { what: "LLaVA-Mini-HD, section 5.2: total", published: "8.13", ours: tera(hd.flops.total) },
    ],
  };
};

const savings = (): FigureTable => {
  const saved = (one: CostReport, all: CostReport): number =>
    100 * (1 - one.flops.total / all.flops.total);
  return {
    title: "LLaVA-Mini, abstract and section 5.3: what is saved",
    unit: "%",
    about: "For short questions only: with 1,024 text tokens 23.3 % are left of the 77 %.",
    figures: [
      { what: "operations, 336 pixels", published: "77", ours: saved(mini(), llava()) },
      {
        what: "operations, 672 pixels (HD)",
        published: "82",
        ours: saved(miniHd(), llavaAt672()),
        note: "error in the paper: follows from the 7.19 T of Table 14",
      },
    ],
  };
};

const latency = (): FigureTable => {
  const all = llava().flops.total;
  const bound = (side: number): number => all / mini({ compressor_size: side }).flops.total;
  const note = "a time";
  const rows = [
    [1, "3.08", "2.93", "3.19"],
    [2, "3.03", "2.91", "3.16"],
    [4, "2.88", "2.88", "3.02"],
    [8, "2.48", "2.45", "2.52"],
  ] as const;
  return {
    title: "LLaVA-Mini, Table 13: speed-up against LLaVA-1.5",
    unit: "times",
    about:
      "Published: ratios of the printed latencies on an RTX 3090, an A100 and an A800. Ours: the ratio of operations, which bounds them: launches and memory traffic do not shrink with the operations.",
    figures: rows.flatMap(([side, ...ratios]) =>
      (["RTX 3090", "A100", "A800"] as const).map((gpu, index) => ({
        what: `${side ** 2} token${side === 1 ? "" : "s"}, ${gpu}`,
        published: ratios[index],
        ours: bound(side),
        note,
      })),
    ),
  };
};

const memory = (): FigureTable => {
  const bytesPerImage = (name: PublishedSize): number => {
    const model = publishedModel(name);
    const cacheType = "float16";
    const [some, none] = [[view], []].map(
      (media) =>
        createCostEstimator(model, { cacheType })({ media, textTokens: questionTokens }).bytes
          .kvCache,
    );
    return (some - none) / 1e6;
  };
  return {
    title: "LLaVA-Mini, abstract: memory of an image",
    unit: "MB",
    about: "Keys and values at 16 bits; the paper's figures hold activations as well.",
    figures: [
      {
        what: "LLaVA-Mini",
        published: "0.6",
        ours: bytesPerImage("llava-mini-7b"),
        note: "0.524 MB are one token's keys and values",
      },
      {
        what: "LLaVA-1.5",
        published: "360",
        ours: bytesPerImage("llava-1.5-7b"),
        note: "576 tokens' keys and values; the text of the paper says 200 to 358 for the whole",
      },
    ],
  };
};

/** Operations of one view of 980 pixels in the encoder, 10^9. */
const uhdView = (changes: Changes, convention: CostConvention = macs): number => {
  const { config, params } = publishedModel("llava-uhd-v4-8b", changes).system;
  if (config.system !== "llava-uhd") {
    throw new SaccadeError("publishedEfficiency: llava-uhd-v4-8b must be a LLaVA-UHD");
  }
  const vision = billedVision(config.vision, convention);
  const graph = llavaUhdVisionGraph(params as LlavaUhdParams, vision, 1, "16x");
  const operations = estimatePartOperations(graph, "vision", convention);
  const parts = evaluateParts(operations, { V0: 1, M0: 70 ** 2 / 16 });
  return ((parts.get("vision") ?? 0) + (parts.get("compression") ?? 0)) / 1e9;
};
const afterEncoder = { insert_layer_id: -1, merger_times: 2 };

const uhdTables = (): FigureTable => ({
  title: "LLaVA-UHD v4, Tables 4 and 5: the vision encoder",
  unit: "G (multiply-adds)",
  about:
    "One view of 980x980 pixels, which the paper does not say and its slices never are. Multiply-adds count once, window attention is billed as if over the whole view, norms and activations by element; connector and language model are left out. k counts from 0: seven layers run before the compressor at k = 6.",
  figures: [
    { what: "Post-ViT", published: "3555.1", ours: uhdView(afterEncoder) },
    ...(
      [
        ["Average Pool", "1368.7", "average-pool"],
        ["Pixel-Unshuffle MLP", "1401.2", "pixel-unshuffle-mlp"],
        ["Reused MLP", "1490.2", "reused-mlp"],
        ["Cross-Attn, top-left query", "1402.0", "cross-attention-top-left"],
        ["Cross-Attn, mean query", "1402.0", "cross-attention-mean"],
        ["Win-Attn w/ MLP", "1484.1", "window-attention-mlp"],
        ["Win-Attn w/ Reused MLP (k = 6)", "1573.1", "window-attention-reused-mlp"],
      ] as const
    ).map(([what, published, variant]) => ({
      what,
      published,
      ours: uhdView({ compressor_type: variant }),
    })),
    ...(
      [
        [3, "1245.1"],
        [9, "1901.1"],
        [15, "2557.0"],
      ] as const
    ).map(([layer, published]) => {
      const ours = uhdView({ insert_layer_id: layer });
      return {
        what: `k = ${layer}`,
        published,
        ours,
        ...(ours.toFixed(1) !== published && {
          note: "how the paper counts elements is fitted, to 0.1 G",
        }),
      };
    }),
    {
      what: "saved (%)",
      published: "55.75",
      ours: 100 * (1 - uhdView({}) / uhdView(afterEncoder)),
    },
    {
      what: "Win-Attn w/ Reused MLP, windows as they are",
      published: "1573.1",
      ours: uhdView({}, { ...macs, windows: "own" }),
      note: "what is computed: 57.3 % less; the published saving is conservative",
    },
  ],
});

const granularities = [576, 288, 144, 72, 36] as const;
const avg = (routed: number): CostReport =>
  estimate("avg-llava-7b", { media: [{ ...square, routed }], textTokens: 70 }, released);
const nextBaseline = (): CostReport =>
  estimate("llava-next-7b", { media: [square], textTokens: 70 }, released);

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

/** All tables. Throws `SaccadeError` for a figure that is off and does not say why. */
export const compareEfficiency = (): FigureTable[] => {
  const tables = [
    table6(),
    table8(),
    table14(),
    savings(),
    latency(),
    memory(),
    uhdTables(),
    avgTokens(),
    avgSpeed(),
    avgParameters(),
  ];
  for (const { title, figures } of tables) {
    const unexplained = figures.find((figure) => !isEqual(figure) && figure.note === undefined);
    if (unexplained) {
      throw new SaccadeError(
        `compareEfficiency: "${title}", ${unexplained.what}: ours must be the printed ${unexplained.published} or say why not, got ${unexplained.ours}`,
      );
    }
  }
  return tables;
};
