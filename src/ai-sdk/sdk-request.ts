/** What the AI SDK asks for, in terms that both ways of answering share. */
import {
  type LanguageModelV3CallOptions,
  type LanguageModelV3FilePart,
  type SharedV3Warning,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import { z } from "zod";
import { OptionsError } from "../errors.js";
import type { SamplingOptions } from "../generate/sampling.js";

/** How closely an image is looked at: `providerOptions.saccade` of a call, or of one of its files. */
export const lookOptionsSchema = z.strictObject({
  /** `low`: fewest tokens; `high`: most; `auto`: as the model decides. */
  detail: z.enum(["low", "high", "auto"]).optional(),
  /** Tokens of a view, one of the model's granularities. */
  granularity: z.int().min(1).optional(),
  /** Most tokens that an image may take. */
  maxSoftTokens: z.int().min(1).optional(),
  /** Most slices of an image. */
  maxSlices: z.int().min(1).optional(),
  downsampleMode: z.enum(["4x", "16x"]).optional(),
});
export type SdkLookOptions = z.infer<typeof lookOptionsSchema>;

export type SdkPart =
  | { readonly type: "text"; readonly text: string }
  | {
      readonly type: "image" | "video";
      readonly data: Uint8Array | URL;
      readonly mediaType: string;
      readonly look: SdkLookOptions;
    };

export type SdkMessage = {
  readonly role: "system" | "user" | "assistant";
  readonly parts: readonly SdkPart[];
};

export type SdkRequest = {
  readonly messages: readonly SdkMessage[];
  /** For images that ask for nothing themselves. */
  readonly look: SdkLookOptions;
  readonly options: SamplingOptions & {
    readonly maxTokens?: number;
    readonly stopStrings?: readonly string[];
  };
  /** What was asked for and cannot be done; the answer comes without it. */
  readonly warnings: SharedV3Warning[];
};

const lookOf = (providerOptions: LanguageModelV3CallOptions["providerOptions"]): SdkLookOptions => {
  const parsed = lookOptionsSchema.safeParse(providerOptions?.saccade ?? {});
  if (parsed.success) return parsed.data;
  throw new OptionsError(
    `saccade: providerOptions.saccade must be options of this provider: ${z.prettifyError(parsed.error)}`,
  );
};

const base64Bytes = (text: string): Uint8Array =>
  Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

const partOf = (part: LanguageModelV3FilePart): SdkPart => {
  const [type] = part.mediaType.split("/");
  if (type !== "image" && type !== "video") {
    throw new UnsupportedFunctionalityError({ functionality: `files of type ${part.mediaType}` });
  }
  const { data, mediaType } = part;
  const bytes = typeof data === "string" ? base64Bytes(data) : data;
  return { type, data: bytes, mediaType, look: lookOf(part.providerOptions) };
};

const partsOf = (message: LanguageModelV3CallOptions["prompt"][number]): SdkPart[] => {
  if (message.role === "system") return [{ type: "text", text: message.content }];
  if (message.role === "tool") {
    throw new UnsupportedFunctionalityError({ functionality: "results of tools" });
  }
  return message.content.flatMap((part): SdkPart[] => {
    if (part.type === "text") return [{ type: "text", text: part.text }];
    if (part.type === "file") return [partOf(part)];
    // Thoughts of another model are no part of what was said.
    if (part.type === "reasoning") return [];
    throw new UnsupportedFunctionalityError({ functionality: `parts of type ${part.type}` });
  });
};

const unsupported = (options: LanguageModelV3CallOptions): SharedV3Warning[] => {
  const asked: readonly (readonly [string, boolean, string?])[] = [
    ["presencePenalty", (options.presencePenalty ?? 0) !== 0],
    ["frequencyPenalty", (options.frequencyPenalty ?? 0) !== 0],
    ["tools", (options.tools ?? []).length > 0],
    ["responseFormat", options.responseFormat?.type === "json", "JSON is not enforced"],
  ];
  return asked
    .filter(([, isAsked]) => isAsked)
    .map(([feature, , details]) => ({
      type: "unsupported" as const,
      feature,
      ...(details !== undefined && { details }),
    }));
};

/** Throws `UnsupportedFunctionalityError` for parts that are no text, image or video. */
export const sdkRequestOf = (options: LanguageModelV3CallOptions): SdkRequest => {
  const { maxOutputTokens, temperature, topP, topK, seed, stopSequences } = options;
  return {
    messages: options.prompt.map((message) => ({
      role: message.role === "tool" ? "user" : message.role,
      parts: partsOf(message),
    })),
    look: lookOf(options.providerOptions),
    options: {
      ...(maxOutputTokens !== undefined && { maxTokens: maxOutputTokens }),
      ...(temperature !== undefined && { temperature }),
      ...(topP !== undefined && { topP }),
      ...(topK !== undefined && { topK }),
      ...(seed !== undefined && { seed }),
      ...(stopSequences !== undefined && { stopStrings: stopSequences }),
    },
    warnings: unsupported(options),
  };
};
