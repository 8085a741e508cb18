/** ChatML as Qwen's models were trained with it, without a system text of its own. */
import type { ContentPart } from "./chat-message.js";
import type { ChatTemplate, PartsTurn } from "./llava-templates.js";

const tags = { image: "<image>", video: "<video>" } as const;

/** Parts on lines of their own, texts trimmed: how LLaVA-UHD v4's released training code joins them. */
const writeParts = (content: readonly ContentPart[]): string =>
  content
    .map((part) => (part.type === "text" ? part.text.trim() : tags[part.type]))
    .filter((line) => line !== "")
    .join("\n");

const write = (role: PartsTurn["role"], text: string): string =>
  `<|im_start|>${role}\n${text}<|im_end|>\n`;

/** What an answer without thinking starts with. */
const emptyThought = "<think>\n\n</think>\n\n";

/** `leadIn`: what the answer asked for, and the last one given, starts with. */
const createChatml = (name: string, leadIn: string): ChatTemplate => ({
  name,
  stopStrings: ["<|im_end|>"],
  imagePlacement: "in-place",
  contentFormat: "parts",
  render: (turns, addGenerationPrompt) => {
    const texts = turns.map(({ role, content }, at) => {
      const text = writeParts(content);
      const isLastAnswer = role === "assistant" && at === turns.length - 1;
      return write(role, isLastAnswer && !text.startsWith("<think>") ? leadIn + text : text);
    });
    return texts.join("") + (addGenerationPrompt ? `<|im_start|>assistant\n${leadIn}` : "");
  },
});

/** Qwen2: MiniCPM-V 2.6. */
export const chatml = createChatml("chatml", "");
/** Qwen3 without thinking: LLaVA-UHD v4, MiniCPM-V 4.5. */
export const qwen3: ChatTemplate = {
  ...createChatml("qwen3", emptyThought),
  earlierTurns: chatml,
};
