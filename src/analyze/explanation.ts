/** Everything that can be said about one answer to a question about one image, as plain data. */
import { type CostReport, estimateCost } from "../cost/cost-report.js";
import { PromptError } from "../errors.js";
import type { Answer, AnswerTimings, GenerateOptions, Usage } from "../generate/answer.js";
import { collectAnswer, type VisionLanguageModel } from "../generate/model.js";
import type { Rgb, RgbImage, Size } from "../image/image.js";
import { placeView, type ViewPlacement } from "../image/view-placement.js";
import type { ImagePlan } from "../image/view-plan.js";
import { isLlavaMini } from "../systems/llava-mini-config.js";
import type { TokenRoute } from "../systems/token-choice.js";
import {
  type AnsweredSequence,
  readAnsweredSequence,
  type TokenClass,
} from "./answered-sequence.js";
import {
  attentionByClass,
  type ByClass,
  entropyByClass,
  totalEntropy,
} from "./attention-by-class.js";
import { answerHeatMaps, compressorHeatMaps, fusionHeatMaps, type HeatMaps } from "./heat-maps.js";
import type { HiddenAnswer } from "./hidden-answer.js";
import { compressorAttention, fusionAttention } from "./llava-mini-attention.js";
import { createSequenceProbe } from "./sequence-probe.js";
import { dropVisionByLayers, type LayerBlock } from "./vision-dropping.js";
import { measureViewUse, visualAttention } from "./visual-attention.js";

/** One view as the vision tower sees it. */
export type ExplainedView = {
  readonly role: "whole" | "part";
  /** In pixels of the view. */
  readonly size: Size;
  /** What it shows of the image, and where; absent for a view of border only. */
  readonly placement?: ViewPlacement;
  /** Colour of its border. */
  readonly border: Rgb;
  /** Tokens of its own in the language model; 0 where tokens are made of all views together. */
  readonly numTokens: number;
};

/** An answer under some change, with its text. */
export type ChangedAnswer = HiddenAnswer & { readonly text: string };

export type LayerAttention = {
  /** Share of attention from each class to each (LLaVA-Mini's Eq. 4 and 5). */
  readonly shares: ByClass;
  /** Entropy of attention within each class, in nats. */
  readonly entropy: ByClass;
  /** Entropy over all that is seen, in nats. */
  readonly totalEntropy: Readonly<Record<TokenClass, number | null>>;
};

export type Explanation = {
  readonly model: string;
  readonly system: string;
  readonly question: string;
  readonly answer: {
    readonly text: string;
    readonly finishReason: Answer["finishReason"];
    readonly ids: readonly number[];
  };
  readonly image: Size;
  readonly views: readonly ExplainedView[];
  /** How the views of role `part` lie. */
  readonly grid: ImagePlan["grid"];
  readonly usage: Usage;
  /** What was chosen for the image, and the router's scores, where the system has granularities. */
  readonly route?: TokenRoute & { readonly granularities: readonly number[] };
  readonly layers: readonly LayerAttention[];
  readonly heatMaps: {
    /** What predicted each token of the answer, over the visual tokens of the language model. */
    readonly answer: HeatMaps;
    /** LLaVA-Mini: the compressor's queries over the patches. */
    readonly compressor?: HeatMaps;
    /** LLaVA-Mini: the prompt's tokens over the patches, in pre-fusion. */
    readonly fusion?: HeatMaps;
  };
  readonly dropping: {
    readonly plain: ChangedAnswer;
    readonly blocks: readonly (ChangedAnswer & { readonly layers: LayerBlock })[];
    readonly everywhere: ChangedAnswer;
  };
  /** Each view with tokens of its own: attention of the answer's tokens by layer, the answer without it. */
  readonly viewUse: readonly {
    readonly view: number;
    readonly attention: readonly number[];
    readonly meanAttention: number;
    readonly hidden: ChangedAnswer;
  }[];
  readonly timings: AnswerTimings;
  readonly cost: CostReport;
};

export type ExplainOptions = GenerateOptions & {
  readonly system?: string;
  /** Layers that lose the visual tokens at a time; an eighth of all when absent. */
  readonly blockSize?: number;
  /** Bytes of the weights as they are stored, for the cost; all as float32 when absent. */
  readonly weightBytes?: number;
};

/** Six digits are more than float32 attention is good for, and a third of the bytes. */
const roundNumbers = (value: unknown): unknown => {
  if (typeof value === "number") {
    return Number.isInteger(value) ? value : Number(value.toPrecision(6));
  }
  if (Array.isArray(value)) return value.map(roundNumbers);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, own]) =>
      own === undefined ? [] : [[key, roundNumbers(own)]],
    ),
  );
};

const explainViews = (plan: ImagePlan, { tokens }: AnsweredSequence): ExplainedView[] =>
  plan.views.map((view, index) => {
    const placement = placeView(plan, view);
    const { width, height } = view.output;
    return {
      role: view.role,
      size: { width, height },
      ...(placement && { placement }),
      border: view.pad?.colour ?? plan.canvas?.colour ?? [0, 0, 0],
      numTokens: tokens.filter(({ origin }) => origin?.view === index).length,
    };
  });

/** LLaVA-Mini's own parts. */
const explainMini = async (
  model: VisionLanguageModel,
  { request, tokens }: AnsweredSequence,
): Promise<Pick<Explanation["heatMaps"], "compressor" | "fusion">> => {
  const { config } = model.system;
  const [item] = request.media;
  if (!isLlavaMini(config) || item?.kind !== "image") return {};
  const compressor = compressorHeatMaps(await compressorAttention(model, item.views));
  if (config.prefusionLayers === 0) return { compressor };
  const written = tokens.filter(({ id }) => id !== undefined)[Symbol.iterator]();
  const texts = request.ids.map((id) => (id < 0 ? "" : (written.next().value?.text ?? "")));
  return { compressor, fusion: fusionHeatMaps(await fusionAttention(model, request), texts) };
};

/**
 * Answers a question about an image and looks at how the model came to the answer. The answer is
 * given greedily unless `options` say otherwise; what changes when tokens are hidden is always greedy.
 * Throws what answering throws.
 */
export const explainAnswer = async (
  model: VisionLanguageModel,
  image: RgbImage,
  question: string,
  { system, blockSize, weightBytes, ...options }: ExplainOptions = {},
): Promise<Explanation> => {
  const request = {
    ...options,
    messages: [
      ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
      {
        role: "user" as const,
        content: [{ type: "image" }, { type: "text", text: question }] as const,
      },
    ],
    media: [{ type: "image", image }] as const,
  };
  const answer = await collectAnswer(model.stream(request));
  const probe = createSequenceProbe(model);
  try {
    const sequence = await readAnsweredSequence(model, probe, request, answer.ids);
    const [item] = sequence.request.media;
    if (item?.kind !== "image") {
      throw new PromptError("explainAnswer: there must be one image, got none; pass an image");
    }
    const { tokenizer } = model;
    const withText = <Hidden extends HiddenAnswer>(hidden: Hidden) => ({
      ...hidden,
      text: tokenizer.decode(
        hidden.greedyIds.filter((id) => !probe.endIds.has(id)),
        { skipSpecialTokens: true },
      ),
    });
    const maps = await probe.attention(sequence);
    const classes = sequence.tokens.map((token) => token.class);
    const { plain, blocks, everywhere } = await dropVisionByLayers(probe, sequence, {
      ...(blockSize !== undefined && { blockSize }),
    });
    const viewUse = await measureViewUse(probe, sequence, maps);
    const [{ routes, tokenOptions }] = answer.media;
    const { width, height } = image;
    const route = routes?.[0];
    const explanation: Explanation = {
      model: model.name,
      system: model.system.config.system,
      question,
      answer: { text: answer.text, finishReason: answer.finishReason, ids: answer.ids },
      image: { width, height },
      views: explainViews(item.views.plan, sequence),
      grid: item.views.plan.grid,
      usage: answer.usage,
      ...(route && {
        route: { ...route, granularities: tokenOptions?.all.map((one) => one.granularity) ?? [] },
      }),
      layers: maps.map((map) => ({
        shares: attentionByClass(map, classes),
        entropy: entropyByClass(map, classes),
        totalEntropy: totalEntropy(map, classes),
      })),
      heatMaps: {
        answer: answerHeatMaps(sequence, visualAttention(maps, sequence)),
        ...(await explainMini(model, sequence)),
      },
      dropping: {
        plain: withText(plain),
        blocks: blocks.map(withText),
        everywhere: withText(everywhere),
      },
      viewUse: viewUse.map(({ view, attention, hidden }) => ({
        view,
        attention,
        meanAttention: attention.reduce((sum, share) => sum + share, 0) / attention.length,
        hidden: withText(hidden),
      })),
      timings: answer.timings,
      cost: estimateCost(
        model,
        {
          media: [
            {
              width,
              height,
              ...(options.choice && { choice: options.choice }),
              ...(route && { routed: route.granularity }),
            },
          ],
          textTokens: answer.usage.textTokens,
          answerTokens: answer.usage.completionTokens,
        },
        { ...(weightBytes !== undefined && { weightBytes }) },
      ),
    };
    return roundNumbers(explanation) as Explanation;
  } finally {
    await probe.close();
  }
};
