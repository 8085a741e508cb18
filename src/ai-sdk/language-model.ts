import type {
  LanguageModelV3,
  LanguageModelV3CallOptions,
  LanguageModelV3FinishReason,
  LanguageModelV3StreamPart,
  LanguageModelV3Usage,
} from "@ai-sdk/provider";
import type { SdkAnswer, SdkAnswering } from "./sdk-answer.js";
import { type SdkRequest, sdkRequestOf } from "./sdk-request.js";

export type LanguageModelParts = {
  readonly provider: string;
  readonly modelId: string;
  /** Addresses of media that go to the model as they are; the SDK fetches all others itself. */
  readonly supportedUrls: Record<string, RegExp[]>;
  answer(
    request: SdkRequest,
    call: Pick<LanguageModelV3CallOptions, "abortSignal" | "headers">,
  ): SdkAnswering;
};

const usageOf = ({ usage }: SdkAnswer): LanguageModelV3Usage => ({
  inputTokens: {
    total: usage.promptTokens,
    noCache: usage.promptTokens - usage.cachedTokens,
    cacheRead: usage.cachedTokens,
    cacheWrite: undefined,
  },
  outputTokens: {
    total: usage.completionTokens,
    text: usage.completionTokens,
    reasoning: undefined,
  },
});

const finishOf = ({ finishReason }: SdkAnswer): LanguageModelV3FinishReason => ({
  unified: finishReason,
  raw: finishReason,
});

const textId = "0";

/** A language model of the AI SDK (specification V3) over anything that answers. */
export const createLanguageModel = (parts: LanguageModelParts): LanguageModelV3 => {
  const { provider, modelId, supportedUrls } = parts;

  const doGenerate: LanguageModelV3["doGenerate"] = async (options) => {
    const request = sdkRequestOf(options);
    const answering = parts.answer(request, options);
    let text = "";
    for (;;) {
      const next = await answering.next();
      if (!next.done) {
        text += next.value;
        continue;
      }
      return {
        content: [{ type: "text", text }],
        finishReason: finishOf(next.value),
        usage: usageOf(next.value),
        providerMetadata: { saccade: next.value.metadata },
        response: { modelId },
        warnings: request.warnings,
      };
    }
  };

  const doStream: LanguageModelV3["doStream"] = async (options) => {
    const request = sdkRequestOf(options);
    const answering = parts.answer(request, options);
    // What is refused is thrown here, before there is a stream.
    let next: IteratorResult<string, SdkAnswer> | undefined = await answering.next();
    async function* run(): AsyncGenerator<LanguageModelV3StreamPart, void> {
      yield { type: "stream-start", warnings: request.warnings };
      yield { type: "response-metadata", modelId };
      yield { type: "text-start", id: textId };
      try {
        for (;;) {
          const current = next ?? (await answering.next());
          next = undefined;
          if (!current.done) {
            yield { type: "text-delta", id: textId, delta: current.value };
            continue;
          }
          const { value } = current;
          yield { type: "text-end", id: textId };
          yield {
            type: "finish",
            finishReason: finishOf(value),
            usage: usageOf(value),
            providerMetadata: { saccade: value.metadata },
          };
          return;
        }
      } catch (error) {
        yield { type: "error", error };
      }
    }
    const events = run();
    const stream = new ReadableStream<LanguageModelV3StreamPart>({
      async pull(controller) {
        const event = await events.next();
        if (event.done) controller.close();
        else controller.enqueue(event.value);
      },
      async cancel() {
        await events.return();
        await answering.return(undefined as never);
      },
    });
    return { stream };
  };

  return { specificationVersion: "v3", provider, modelId, supportedUrls, doGenerate, doStream };
};
