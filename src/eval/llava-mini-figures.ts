/** The efficiency figures of LLaVA-Mini's paper (arXiv 2501.03895). */
import { conventions } from "../cost/convention.js";
import { type CostReport, type CostRequest, createCostEstimator } from "../cost/cost-report.js";
import { type PublishedSize, publishedModel } from "../load/published-sizes.js";
import {
  type Changes,
  estimatePublished,
  type Figure,
  type FigureTable,
} from "./efficiency-figure.js";

const { linear } = conventions;
const view = { width: 336, height: 336 };
const square = { width: 672, height: 672 };
/** Text of LLaVA-Mini's figures; the paper does not say it, its totals do. */
const questionTokens = 43;

const asked = (size: typeof view): CostRequest => ({ media: [size], textTokens: questionTokens });
const mini = (changes: Changes = {}): CostReport =>
  estimatePublished("llava-mini-7b", asked(view), linear, changes);
const llava = (): CostReport => estimatePublished("llava-1.5-7b", asked(view), linear);
const llavaAt672 = (): CostReport =>
  estimatePublished("llava-next-7b", asked(square), linear, { mm_patch_merge_type: "flat" });
const miniHd = (): CostReport => estimatePublished("llava-mini-hd-7b", asked(square), linear);
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

export const compareLlavaMini = (): FigureTable[] => [
  table6(),
  table8(),
  table14(),
  savings(),
  latency(),
  memory(),
];
