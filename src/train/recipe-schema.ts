/** What a training recipe may say. Keys are read nowhere else; `parseRecipe` makes it typed. */
import { z } from "zod";
import { detailTypes, mostPanels, recordContents, splits, themes } from "../data/scenes/index.js";
import { downsampleModes } from "../image/slice-config.js";
import { type LlavaTemplateName, llavaTemplates } from "../text/llava-templates.js";
import { scheduleKinds } from "./schedule.js";
import { objectiveNames } from "./stage-objective.js";

const count = z.int().positive();
const share = z.number().min(0).max(1);
const patterns = z.array(z.string().min(1)).min(1);
const folderName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9.-]*$/,
    "must be small letters, digits, hyphens and dots, as it names a folder",
  );

/** First values other than the checkpoint's; later entries win. */
const initialisation = z
  .strictObject({
    parameters: patterns,
    /**
     * `declared`: as the model declares it, from the recipe's seed. `zeros`. `language-layers`: layer i
     * of pre-fusion from layer i of the decoder. `layer-before`: LLaVA-UHD's compressor from the layer
     * of the encoder before it. `even-votes`: AVG-LLaVA's voter, which then hears the text beside the
     * patches. `checkpoint`: the parameter of that name in the model `from`, of whatever system.
     * `interpolated`: a table of positions from there, its grid resized. `pooled-projector`: LLaVA-UHD's
     * merger, as means over windows of what the projector there makes of each patch.
     */
    with: z.enum([
      "declared",
      "zeros",
      "language-layers",
      "layer-before",
      "even-votes",
      "checkpoint",
      "interpolated",
      "pooled-projector",
    ]),
    /** Folder, embedded model or hub repository; relative to the recipe. */
    from: z.string().min(1).optional(),
    /** Names there that differ from those here: `{ merger.stages.0: merger.stages.1 }`. */
    rename: z.record(z.string(), z.string()).optional(),
    /** Standard deviations of what the merger's stages see: of the tower's features, of the projector's tokens. */
    deviations: z.array(z.number().positive()).min(1).max(2).optional(),
  })
  .refine(
    ({ with: kind, from, rename }) =>
      kind === "checkpoint" || kind === "interpolated"
        ? from !== undefined
        : (from !== undefined) === (kind === "pooled-projector") && rename === undefined,
    "checkpoint, interpolated and pooled-projector need from, which is theirs alone; rename is the first two's",
  )
  .refine(
    ({ with: kind, deviations }) => (deviations !== undefined) === (kind === "pooled-projector"),
    "pooled-projector needs deviations, which are its alone",
  );

/** Adapters of low rank instead of whole weights (Hu et al. 2021), which then train as `**.lora_{A,B}.weight`. */
const lora = z.strictObject({
  rank: count,
  /** The addition is scaled by `alpha / rank`. */
  alpha: z.number().positive(),
  /** Patterns over dotted names of linear layers. */
  targets: patterns,
  /** What the run ends in: a folder as PEFT's, or the model with the additions in its weights. */
  save: z.enum(["adapter", "merged"]).default("adapter"),
});

const model = z.strictObject({
  /** Folder or hub repository that training starts from. */
  from: z.string().min(1),
  /** Fields of `config.json` with other values than the folder's: another system over the same weights. */
  config: z.record(z.string(), z.json()).optional(),
  /** Stored tensors, by published name, that the system so described does not have. */
  drop: patterns.optional(),
  /** How the trained model's weights are stored; default: what was trained in float32, the rest as it was. */
  dtype: z.enum(["float32", "float16"]).optional(),
  /** LLaVA-Mini: as the released code or as the paper. */
  variant: z.enum(["released", "paper"]).optional(),
  initialise: z.array(initialisation).default([]),
  lora: lora.optional(),
});

/** Scenes that are drawn while training (`SceneReaderOptions`). */
const scenes = z.strictObject({
  count,
  first: z.int().min(0).optional(),
  seed: z.int().min(0).max(0xffffffff).optional(),
  split: z.enum(splits).optional(),
  kinds: z
    .array(z.enum(["simple", "detail"]))
    .min(1)
    .optional(),
  heightPx: count.optional(),
  aspect: z.number().min(0.25).max(4).optional(),
  grid: z.enum(["2x2", "3x3"]).optional(),
  theme: z.enum(themes).optional(),
  detail: z.enum(detailTypes).optional(),
  panels: z.int().min(1).max(mostPanels).optional(),
  contents: z.array(z.enum(recordContents)).min(1).optional(),
  maxTurns: count.optional(),
  families: z.array(z.string()).min(1).optional(),
  perFamily: count.optional(),
});

const templateNames = Object.keys(llavaTemplates) as LlavaTemplateName[];

const dataset = z
  .strictObject({
    /** File, or folder of Parquet files; relative to the recipe. */
    path: z.string().min(1).optional(),
    format: z.enum(["llava", "sharegpt", "messages", "openai"]).optional(),
    /** Instead of files. */
    scenes: scenes.optional(),
    /** The format that its conversations are written in; the stage's when absent. */
    template: z.enum(templateNames).optional(),
    /** Folder that images are relative to; the file's own when absent. */
    mediaRoot: z.string().min(1).optional(),
    /** `all`, `first:N`, `end:N`, `random:N`; N a count or a share such as `10%`. */
    sampling: z
      .string()
      .regex(
        /^(?:all|(?:first|end|random):\d+(?:\.\d+)?%?)$/,
        "must be all, first:N, end:N or random:N, N a count or a share such as 10%",
      )
      .default("all"),
  })
  .refine(
    ({ path, format, scenes }) =>
      (path === undefined) === (format === undefined) &&
      (path === undefined) !== (scenes === undefined),
    "give path and format, or scenes",
  );

const data = z.strictObject({
  train: z.array(dataset).min(1),
  validation: z.array(dataset).optional(),
  /** The model's own choice when absent. */
  template: z.enum(["model", ...templateNames]).optional(),
  /** Most tokens of a sample, those of images included. */
  maxLength: count,
  /** What happens to longer samples: they are left out and reported, or cut as the reference does. */
  tooLong: z.enum(["refuse", "cut"]).default("refuse"),
  /** Systems in slices: most slices of an image; the model's own when absent. */
  maxSlices: count.optional(),
  /** Systems in slices: how many patches become a token; the model's own when absent. */
  downsampleMode: z.enum(downsampleModes).optional(),
  /** Systems that pack: every token counts alike (default), or a sample as the square root of its answers' length. */
  lossWeighting: z.enum(["token", "square-root"]).optional(),
  /** Most padded lengths; each is compiled once. */
  buckets: count.default(4),
  /** Share of bad records above which the run stops. */
  maxBadShare: share.default(0.01),
});

const schedule = z
  .strictObject({
    kind: z.enum(scheduleKinds),
    warmupSteps: z.int().min(0).optional(),
    warmupRatio: share.optional(),
    minRatio: share.optional(),
  })
  .refine(
    ({ warmupSteps, warmupRatio }) => warmupSteps === undefined || warmupRatio === undefined,
    "give warmupSteps or warmupRatio, not both",
  );

const group = z.strictObject({
  name: folderName,
  parameters: patterns,
  learningRate: z.number().positive(),
  weightDecay: z.number().min(0).default(0),
});

const stage = z
  .strictObject({
    name: folderName,
    /** What the decoder sees: all vision tokens, or what the model's own reduction leaves. */
    visionTokens: z.enum(["all", "reduced"]).default("reduced"),
    /** What is minimised (`ObjectiveName`). */
    objective: z.enum(objectiveNames).default("next-token"),
    /** Of `granularity-ranking`, where it differs from the model's config. */
    ranking: z
      .strictObject({
        form: z.enum(["released", "paper"]).optional(),
        margin: z.number().nonnegative().optional(),
        rankWeight: z.number().nonnegative().optional(),
        crossEntropyWeight: z.number().nonnegative().optional(),
        /** Nats that the finest granularity's tokens cost, those of others in proportion. */
        tokenPrice: z.number().nonnegative().optional(),
      })
      .optional(),
    /**
     * Of `next-token`, in slices: what reading print counts beside the answers, by the tower's patches
     * (`printReader.patches`, without a compressor) and by the visual tokens (`printReader.tokens`), whichever train.
     */
    printWeight: z.number().positive().optional(),
    /** Patterns over dotted parameter names; everything else is frozen. */
    train: patterns,
    /** A parameter belongs to the first group that fits. */
    groups: z.array(group).min(1),
    data,
    /** Samples of one pass; an optimiser step takes `accumulation` times as many. */
    batchSize: count,
    accumulation: count.default(1),
    /** Layers are computed again in the backward pass: less memory, about a third more arithmetic. */
    gradientCheckpointing: z.boolean().default(false),
    /** Element type of the arithmetic; there is one. */
    precision: z
      .literal("float32", {
        error:
          "must be float32, or left out: of ONNX Runtime's providers the processor has no bfloat16 kernels and gains nothing from float16, and float16 on WebGPU has not been tried on a card that has it",
      })
      .optional(),
    steps: count.optional(),
    epochs: z.number().positive().optional(),
    schedule,
    maxGradientNorm: z.number().positive().optional(),
    adamW: z
      .strictObject({
        beta1: z.number().min(0).lt(1).default(0.9),
        beta2: z.number().min(0).lt(1).default(0.999),
        epsilon: z.number().positive().default(1e-8),
      })
      .prefault({}),
    checkpoint: z
      .strictObject({ everySteps: count.default(100), keep: count.default(3) })
      .prefault({}),
    validation: z.strictObject({ everySteps: count, batches: count }).optional(),
  })
  .refine(
    ({ steps, epochs }) => (steps === undefined) !== (epochs === undefined),
    "give either steps or epochs",
  )
  .refine(
    ({ objective, ranking }) => ranking === undefined || objective === "granularity-ranking",
    'ranking belongs to the objective "granularity-ranking"',
  )
  .refine(
    ({ objective, printWeight }) => printWeight === undefined || objective === "next-token",
    'printWeight belongs to the objective "next-token"',
  )
  .refine(
    ({ groups }) => new Set(groups.map(({ name }) => name)).size === groups.length,
    "groups must have different names",
  )
  .refine(
    ({ validation, data: { validation: sets } }) => validation === undefined || sets !== undefined,
    "validation needs data.validation",
  );

export const recipeSchema = z
  .strictObject({
    name: folderName,
    description: z.string().optional(),
    model,
    seed: z.int().min(0).max(0xffffffff).default(0),
    stages: z.array(stage).min(1),
  })
  .refine(
    ({ stages }) => new Set(stages.map(({ name }) => name)).size === stages.length,
    "stages must have different names",
  );

export type Recipe = z.infer<typeof recipeSchema>;
export type StageRecipe = Recipe["stages"][number];

/** Whether a stage's tower tells characters, for which there is a layer beside the model. */
export const learnsPrint = ({
  objective,
  printWeight,
}: Pick<StageRecipe, "objective" | "printWeight">): boolean =>
  objective === "print" || printWeight !== undefined;
