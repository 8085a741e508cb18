/**
 * The controlled study of LLaVA-UHD v4 (arXiv 2605.08985, tables 1, 4 and 5) on Scenes: what is compared, and the
 * recipe of each arm. Every arm starts from the same trained baseline (slices, all merging after the encoder) and sees
 * the same scenes for as many steps.
 *
 * It departs from the paper where a small model has to: arms continue a trained model where the paper's are trained
 * whole; the compressor stands after the second of four layers (`layer` 1) where the paper's stands after the seventh
 * of 27; global encoding keeps the image's own size, 256 pixels, with its positions interpolated.
 */
import { type CostReport, createCostEstimator } from "../cost/cost-report.js";
import { chooseProcessor } from "../load/resolved-model.js";
import { type CompressorVariant, compressorVariants } from "../reduce/early-compressor.js";
import { parseSystem } from "../systems/system.js";
import { parseRecipe, type Recipe } from "../train/recipe.js";

/** Side of the study's square images, in pixels. */
export const studyImagePx = 256;

/** What a folder of the baseline says of itself. */
export type BaselineSettings = {
  readonly config: Readonly<Record<string, unknown>>;
  readonly preprocessorConfig?: unknown;
};

type Initialise = Recipe["model"]["initialise"][number];

/** Tables 1, 4 and 5 of the paper. */
export type StudyTable = "encoding" | "variant" | "depth";

/** What differs between arms. */
export type StudyArm = {
  readonly name: string;
  readonly tables: readonly StudyTable[];
  /** The paper's average over eight benchmarks, where it has this arm (8M, 16x). */
  readonly paper?: number;
  /** Keys of `config.json`. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly drop?: readonly string[];
  /** `from` is the baseline. */
  readonly initialise: readonly Omit<Initialise, "from">[];
  /** Places of a packed row, so that a step holds about as many samples in every arm. */
  readonly rowLength: number;
};

const sliceRowLength = 320;

/** The paper's averages at 16x and 8M samples (tables A1 and A3). */
const paperVariants = {
  "average-pool": 69.6,
  "pixel-unshuffle-mlp": 69.8,
  "reused-mlp": 69.9,
  "cross-attention-top-left": 70.5,
  "cross-attention-mean": 69.9,
  "window-attention-mlp": 70.1,
  "window-attention-reused-mlp": 70.7,
} as const satisfies Partial<Record<CompressorVariant, number>>;

const paperOwn: CompressorVariant = "window-attention-reused-mlp";

/** How each variant's parameters begin: reused where they follow from a layer, as released where not. */
const compressorStart = (variant: CompressorVariant): StudyArm["initialise"] => {
  const { mixing, merging } = compressorVariants[variant];
  const declared = { parameters: ["compressor.**"], with: "declared" as const };
  const reused = (parameters: string) => ({
    parameters: [parameters],
    with: "layer-before" as const,
  });
  if (merging === "reused-mlp" || merging.startsWith("cross-")) return [reused("compressor.**")];
  if (merging === "average") return mixing === "none" ? [] : [reused("compressor.**")];
  return mixing === "none" ? [declared] : [declared, reused("compressor.mixing.**")];
};

const compressorArm = (
  name: string,
  tables: readonly StudyTable[],
  variant: CompressorVariant,
  layer: number,
  paper?: number,
): StudyArm => ({
  name,
  tables,
  ...(paper !== undefined && { paper }),
  config: { insert_layer_id: layer, merger_times: 1, compressor_type: variant },
  // The compressor takes the place of the first of two mergings; the second one stays.
  drop: ["resampler.mlp.1.**"],
  initialise: [
    ...compressorStart(variant),
    {
      parameters: ["merger.**"],
      with: "checkpoint",
      rename: { "merger.stages.0": "merger.stages.1" },
    },
  ],
  rowLength: sliceRowLength,
});

/** All arms for a baseline, the variants' compressor after the layer of index `layer`. */
export const studyArms = ({ config }: BaselineSettings, layer: number): StudyArm[] => {
  const vision = config.vision_config as { readonly num_hidden_layers: number };
  const slicing = config.slice_config as object;
  const depths = Array.from({ length: vision.num_hidden_layers }, (_, index) => index);
  return [
    {
      name: "slice",
      tables: ["encoding", "variant"],
      paper: 70.6,
      config: {},
      initialise: [],
      rowLength: sliceRowLength,
    },
    {
      name: "global",
      tables: ["encoding"],
      paper: 68.9,
      config: {
        slice_config: { ...slicing, encoding: "global" },
        vision_config: { ...vision, image_size: studyImagePx },
      },
      initialise: [{ parameters: ["vision.positions"], with: "interpolated" }],
      // Four visual tokens and nine markers less in each of about three samples.
      rowLength: sliceRowLength - 3 * 13,
    },
    ...Object.entries(paperVariants).map(([name, paper]) => {
      const variant = name as CompressorVariant;
      const tables: StudyTable[] = variant === paperOwn ? ["variant", "depth"] : ["variant"];
      return compressorArm(name, tables, variant, layer, paper);
    }),
    ...depths
      .filter((depth) => depth !== layer)
      .map((depth) => compressorArm(`depth-${depth}`, ["depth"], paperOwn, depth)),
  ];
};

export type StudyBudget = {
  /** Folder of the trained baseline. */
  readonly baseline: string;
  readonly steps: number;
  readonly seed: number;
  /** Scenes of each kind of record. */
  readonly scenes: number;
};

/** An arm's recipe as YAML (JSON is YAML), and the same parsed. */
export const studyRecipe = (
  { name, config, drop, initialise, rowLength }: StudyArm,
  { baseline, steps, seed, scenes }: StudyBudget,
): { readonly text: string; readonly recipe: Recipe } => {
  const drawn = { count: scenes, heightPx: studyImagePx, aspect: 1, kinds: ["detail"] };
  const needsBaseline = (kind: Initialise["with"]): boolean =>
    kind === "checkpoint" || kind === "interpolated";
  const value = {
    name,
    model: {
      from: baseline,
      config,
      ...(drop && { drop }),
      initialise: initialise.map((entry) => ({
        ...entry,
        ...(needsBaseline(entry.with) && { from: baseline }),
      })),
    },
    seed,
    stages: [
      {
        name: "study",
        // Where tokens are merged in another place, what they keep is learned anew: the same help for all arms.
        printWeight: 1,
        train: ["**", "!vision.postNorm.**", "!printReader.patches.**"],
        groups: [{ name: "all", parameters: ["**"], learningRate: 5e-4, weightDecay: 0.01 }],
        data: {
          train: [
            {
              template: "keywords",
              scenes: { ...drawn, first: 700_000, contents: ["facts"], perFamily: 3, maxTurns: 8 },
            },
            { scenes: { ...drawn, first: 800_000, contents: ["questions"], maxTurns: 6 } },
          ],
          maxLength: rowLength,
          lossWeighting: "square-root",
        },
        batchSize: 3,
        steps,
        schedule: { kind: "cosine", warmupRatio: 0.05, minRatio: 0.05 },
        maxGradientNorm: 1,
        adamW: { beta2: 0.98 },
        checkpoint: { everySteps: 50, keep: 1 },
      },
    ],
  };
  const text = `${JSON.stringify(value, null, 2)}\n`;
  return { text, recipe: parseRecipe(text, `${name}.yaml`) };
};

/** What one of the study's images costs an arm, as computed here (2 per multiply-add, attention included). */
export const estimateArm = (
  { config, preprocessorConfig }: BaselineSettings,
  arm: StudyArm,
): CostReport => {
  const changed = { ...config, ...arm.config };
  const system = parseSystem(changed);
  const processor = chooseProcessor(system, { config: changed, preprocessorConfig });
  const size = { width: studyImagePx, height: studyImagePx };
  return createCostEstimator({ system, processor })({ media: [size], textTokens: 60 });
};
