/** A model's own chat template (Jinja), and the choice of the template that a model was trained with. */
import { Template } from "@huggingface/jinja";
import { OptionsError, PromptError, TokenizerError } from "../errors.js";
import type { ImagePlacement } from "./chat-message.js";
import {
  type ChatTemplate,
  type LlavaTemplateName,
  llavaTemplates,
  type MediaTokens,
  type PartsTurn,
  type TextTurn,
} from "./llava-templates.js";
import { padMarkers } from "./slice-layout.js";
import type { Tokenizer } from "./tokenizer.js";

export type ModelTemplateOptions = {
  /** What the template may refer to, such as `bos_token`. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** Default `auto`: parts where the source looks at the type of parts, else text. */
  readonly contentFormat?: "auto" | "text" | "parts";
  /** System text where the conversation has none; default: whatever the template does. */
  readonly systemText?: string;
  readonly stopStrings?: readonly string[];
  /** What the template writes for media; default `<image>` and `<video>`. */
  readonly mediaTokens?: MediaTokens;
  /** Default `front`. */
  readonly imagePlacement?: ImagePlacement;
};

const readsParts = /selectattr\(\s*['"]type['"]|\[\s*['"]type['"]\s*\]\s*==|\.type\s*==/;

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/**
 * Makes a template of Jinja source.
 *
 * @throws TokenizerError where the source cannot be parsed; rendering throws PromptError where the template refuses.
 */
export const createModelTemplate = (
  source: string,
  options: ModelTemplateOptions = {},
): ChatTemplate => {
  const { variables = {}, contentFormat = "auto", stopStrings = [] } = options;
  const { systemText, mediaTokens, imagePlacement } = options;
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new TokenizerError(
      `createModelTemplate: the chat template must be Jinja that can be parsed, got: ${messageOf(cause)}. Choose one of ${Object.keys(llavaTemplates).join(", ")} by name, or fix the model's file.`,
      { cause },
    );
  }
  const auto = readsParts.test(source) ? "parts" : "text";
  return {
    name: "model",
    stopStrings,
    contentFormat: contentFormat === "auto" ? auto : contentFormat,
    ...(systemText !== undefined && { systemText }),
    ...(mediaTokens && { mediaTokens }),
    ...(imagePlacement && { imagePlacement }),
    render: (turns: readonly (TextTurn | PartsTurn)[], addGenerationPrompt: boolean) => {
      try {
        return template.render({
          ...variables,
          messages: turns,
          add_generation_prompt: addGenerationPrompt,
        });
      } catch (cause) {
        throw new PromptError(
          `renderChat: the conversation must suit the model's chat template, got: ${messageOf(cause)}. Change the conversation, or choose a template by name.`,
          { cause },
        );
      }
    },
  };
};

export type TemplateChoice = {
  /** Wins over everything: a name, or "model" for the model's own template. */
  readonly template?: LlavaTemplateName | "model";
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** The folder's Jinja template, if any. */
  readonly chatTemplate?: string;
  readonly tokenizer: Tokenizer;
};

/** Checkpoints of the original LLaVA code base, whose tokenizer files may carry an unrelated template. */
const isOriginalLlava = (modelType: string): boolean =>
  /^(llava|llava_mini|avg_llava)_(llama|vicuna)$/.test(modelType);

const fallbackName = ({ idOf }: Tokenizer): LlavaTemplateName => {
  if (idOf("<|start_header_id|>") !== undefined) return "llava_llama_3_1";
  if (idOf("<|im_start|>") === undefined) return "vicuna_v1";
  return idOf("<think>") === undefined ? "chatml" : "qwen3";
};

/**
 * The template a model was trained with: the option; else by architecture and vocabulary, never by the model's name.
 * The reference infers from the name and falls back to `llava_v0`, which is wrong for AVG-LLaVA and every renamed copy.
 *
 * - A Llama-3 vocabulary (it has `<|start_header_id|>`): the model's own template, as LLaVA-Mini does, with LLaVA's
 *   system text for checkpoints of the original code base; `llava_llama_3_1` where the folder has none.
 * - Other checkpoints of the original code base: `vicuna_v1`, their training format; a template in the folder is not
 *   used, because the reference does not use it either.
 * - Everything else: the model's own template, or where there is none `qwen3` (`chatml` without `<think>`) for a ChatML
 *   vocabulary, `vicuna_v1` for others.
 *
 * @throws OptionsError where the option asks for what is not there; TokenizerError for a broken template.
 */
export const chooseTemplate = ({
  template,
  modelType,
  chatTemplate,
  tokenizer,
}: TemplateChoice): ChatTemplate => {
  if (template !== undefined && template !== "model") {
    const named = Object.hasOwn(llavaTemplates, template) ? llavaTemplates[template] : undefined;
    if (named) return named;
    throw new OptionsError(
      `chooseTemplate: template must be "model" or one of ${Object.keys(llavaTemplates).join(", ")}, got ${JSON.stringify(template)}. Leave it out for the model's own choice.`,
    );
  }
  if (template === "model" && chatTemplate === undefined)
    throw new OptionsError(
      `chooseTemplate: for "model", the folder must hold a chat template, got none. Choose one of ${Object.keys(llavaTemplates).join(", ")}.`,
    );
  const isLlama3 = tokenizer.idOf("<|start_header_id|>") !== undefined;
  const original = isOriginalLlava(modelType);
  const fallback = llavaTemplates[fallbackName(tokenizer)];
  const usesOwn = template === "model" || isLlama3 || !original;
  if (chatTemplate === undefined || !usesOwn) return fallback;
  const { bosToken = "", eosToken = "", padToken = "" } = tokenizer;
  const { imageToken: image, videoToken: video } = padMarkers;
  const hasPads = tokenizer.idOf(image) !== undefined && chatTemplate.includes(image);
  return createModelTemplate(chatTemplate, {
    variables: { bos_token: bosToken, eos_token: eosToken, pad_token: padToken },
    stopStrings: isLlama3 ? llavaTemplates.llava_llama_3_1.stopStrings : eosToken ? [eosToken] : [],
    ...(hasPads && { mediaTokens: { image, video }, imagePlacement: "in-place" as const }),
    ...(original && isLlama3 && { systemText: llavaTemplates.llava_llama_3_1.systemText }),
  });
};
