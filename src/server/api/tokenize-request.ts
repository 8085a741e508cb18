import { z } from "zod";

export const tokenizeSchema = z
  .strictObject({
    model: z.string().min(1).optional().describe("May be left out where one model is served"),
    prompt: z.string().optional(),
    content: z.string().optional().describe("Another peer's name for prompt"),
    add_special_tokens: z.boolean().optional(),
    return_token_strs: z.boolean().optional(),
  })
  .refine(({ prompt, content }) => (prompt === undefined) !== (content === undefined), {
    error: "give prompt",
    path: ["prompt"],
  });
