/**
 * The conversation formats of the LLaVA family, by their names in LLaVA's and LLaVA-Mini's `conversation.py`. Exact to
 * the character: a model answers worse when prompted in another format than it was trained with.
 */
import { PromptError } from "../errors.js";
import type { ContentPart, ImagePlacement } from "./chat-message.js";
import { chatml, qwen3 } from "./chatml-templates.js";

type Role = "system" | "user" | "assistant";
/** A message as text, its media written as placeholders. */
export type TextTurn = { readonly role: Role; readonly content: string };
/** A message as parts, for templates that write the placeholders themselves. */
export type PartsTurn = { readonly role: Role; readonly content: readonly ContentPart[] };

/** What a template writes for an image and for a video. */
export type MediaTokens = { readonly image: string; readonly video: string };
export const llavaMediaTokens: MediaTokens = { image: "<image>", video: "<video>" };

type Render<Turn> = (turns: readonly Turn[], addGenerationPrompt: boolean) => string;

/** How a conversation becomes one text. `render` throws PromptError where the conversation does not fit. */
export type ChatTemplate = {
  readonly name: string;
  /** Text that ends an answer in this format. */
  readonly stopStrings: readonly string[];
  /** The system text where the conversation has none; undefined for none. */
  readonly systemText?: string;
  /** Default `<image>` and `<video>`. */
  readonly mediaTokens?: MediaTokens;
  /**
   * The template that earlier turns follow where the last answer is written in its own way; absent
   * where all are alike.
   */
  readonly earlierTurns?: ChatTemplate;
  /** Where media stand in a turn unless a request says so: as in training. Default `front`. */
  readonly imagePlacement?: ImagePlacement;
} & (
  | { readonly contentFormat: "text"; readonly render: Render<TextTurn> }
  | { readonly contentFormat: "parts"; readonly render: Render<PartsTurn> }
);

const assistantOf = (person: string): string =>
  `A chat between a curious ${person} and an artificial intelligence assistant. ` +
  `The assistant gives helpful, detailed, and polite answers to the ${person}'s questions.`;

const checkAlternation = (name: string, turns: readonly TextTurn[]): void => {
  for (const [at, { role }] of turns.entries()) {
    const expected = at % 2 === 0 ? "user" : "assistant";
    if (role !== expected)
      throw new PromptError(
        `renderChat: in ${name}, user and assistant must take turns, user first, got ${role} as turn ${at}. Join neighbouring messages of one role.`,
      );
  }
};

const split = (turns: readonly TextTurn[]) => {
  const system = turns[0]?.role === "system" ? turns[0].content : undefined;
  return { system, rest: system === undefined ? turns : turns.slice(1) };
};

/** `Role: message` with a separator after each turn: one for all, or alternating. */
const createRoleTemplate = (
  name: string,
  systemText: string,
  [user, assistant]: readonly [string, string],
  [separator, afterAnswer]: readonly [string, string],
): ChatTemplate => ({
  name,
  systemText,
  stopStrings: [afterAnswer],
  contentFormat: "text",
  render: (turns, addGenerationPrompt) => {
    const { system = "", rest } = split(turns);
    checkAlternation(name, rest);
    const texts = rest.map(({ role, content }) =>
      role === "user"
        ? `${user}: ${content}${separator}`
        : `${assistant}: ${content}${afterAnswer}`,
    );
    const header = addGenerationPrompt ? `${assistant}:` : "";
    return system + separator + texts.join("") + header;
  },
});

/** LLaVA-1.5, LLaVA-NeXT on Vicuna, AVG-LLaVA, LLaVA-Mini on Vicuna: training `--version v1`. */
const vicunaV1 = createRoleTemplate(
  "vicuna_v1",
  assistantOf("user"),
  ["USER", "ASSISTANT"],
  [" ", "</s>"],
);
/** The look-alike: "human" for "user". */
const llavaV1 = createRoleTemplate(
  "llava_v1",
  assistantOf("human"),
  ["USER", "ASSISTANT"],
  [" ", "</s>"],
);
const llavaV0 = createRoleTemplate(
  "llava_v0",
  assistantOf("human"),
  ["Human", "Assistant"],
  ["###", "###"],
);

/** Meta's first Llama-3 format, which LLaVA-Mini's tokenizer carries: contents are trimmed, the BOS is in the text. */
const llavaLlama31: ChatTemplate = {
  name: "llava_llama_3_1",
  systemText:
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, and assist the user with a variety of tasks using natural language.",
  stopStrings: ["<|eot_id|>"],
  contentFormat: "text",
  render: (turns, addGenerationPrompt) => {
    const header = (role: string) => `<|start_header_id|>${role}<|end_header_id|>\n\n`;
    const texts = turns.map(({ role, content }) => `${header(role)}${content.trim()}<|eot_id|>`);
    return `<|begin_of_text|>${texts.join("")}${addGenerationPrompt ? header("assistant") : ""}`;
  },
};

/** Stage-1 captions: media, caption, newline, and nothing else; no roles, no system text. */
const plain: ChatTemplate = {
  name: "plain",
  stopStrings: ["\n"],
  contentFormat: "text",
  render: (turns) => {
    checkAlternation("plain", turns);
    for (const { role, content } of turns)
      if (role === "user" && !/^(<(image|video)>\n?)+$/.test(content))
        throw new PromptError(
          `renderChat: in plain, a user message must hold media only, got ${JSON.stringify(content)}. Use another template to ask questions.`,
        );
    return turns
      .map(({ role, content }) => (role === "user" ? content.replaceAll("\n", "") : `${content}\n`))
      .join("");
  },
};

/**
 * Keywords and answers, one after the other on one line: no roles, no system text, nothing between them but commas. Not of
 * the original code: small decoders practise with it, for a third of the tokens (`facts` of Scenes).
 */
const keywords: ChatTemplate = {
  name: "keywords",
  stopStrings: [","],
  contentFormat: "text",
  render: (turns) => {
    checkAlternation("keywords", turns);
    return turns
      .map(({ role, content }, at) => {
        const line = content.replaceAll("\n", " ");
        if (role === "assistant") return ` ${line}`;
        return at === 0 ? line : `, ${line}`;
      })
      .join("");
  },
};

export type LlavaTemplateName =
  | "vicuna_v1"
  | "llava_v1"
  | "llava_v0"
  | "llava_llama_3_1"
  | "plain"
  | "keywords"
  | "chatml"
  | "qwen3";

export const llavaTemplates: Readonly<Record<LlavaTemplateName, ChatTemplate>> = {
  vicuna_v1: vicunaV1,
  llava_v1: llavaV1,
  llava_v0: llavaV0,
  llava_llama_3_1: llavaLlama31,
  plain,
  keywords,
  chatml,
  qwen3,
};
