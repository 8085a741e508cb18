import {
  type JSONObject,
  type LanguageModelV3,
  UnsupportedFunctionalityError,
} from "@ai-sdk/provider";
import type { Media } from "../generate/media.js";
import type { VisionLanguageModel } from "../generate/model.js";
import type { RgbImage } from "../image/image.js";
import type { TokenChoice } from "../systems/token-choice.js";
import type { ChatMessage } from "../text/chat-message.js";
import type { VideoSource } from "../video/video-source.js";
import { createLanguageModel } from "./language-model.js";
import type { SdkAnswering } from "./sdk-answer.js";
import type { SdkLookOptions, SdkPart, SdkRequest } from "./sdk-request.js";

export type InProcessOptions = {
  /** `decodeImage` of `saccade/node` or `saccade/web`. */
  readonly decodeImage: (bytes: Uint8Array) => Promise<RgbImage>;
  /** Opens a video's bytes; videos are refused without it. */
  readonly openVideo?: (bytes: Uint8Array) => Promise<VideoSource>;
  /** Default: the model's name. */
  readonly modelId?: string;
};

const choiceOf = ({ maxSlices, downsampleMode, ...choice }: SdkLookOptions): TokenChoice => ({
  ...choice,
  ...((maxSlices !== undefined || downsampleMode !== undefined) && {
    slicing: {
      ...(maxSlices !== undefined && { maxSlices }),
      ...(downsampleMode !== undefined && { downsampleMode }),
    },
  }),
});

/** A loaded model as a language model of the AI SDK: no server, no copy of the weights. */
export const saccadeModel = (
  model: VisionLanguageModel,
  { decodeImage, openVideo, modelId = model.name }: InProcessOptions,
): LanguageModelV3 => {
  const openMedia = async (
    part: Extract<SdkPart, { type: "image" | "video" }>,
    look: SdkLookOptions,
  ): Promise<Media> => {
    if (part.data instanceof URL) {
      throw new UnsupportedFunctionalityError({ functionality: "media by address, in process" });
    }
    const choice = choiceOf({ ...look, ...part.look });
    if (part.type === "image") {
      return { type: "image", image: await decodeImage(part.data), choice };
    }
    if (openVideo === undefined) {
      throw new UnsupportedFunctionalityError({ functionality: "videos without openVideo" });
    }
    return { type: "video", video: await openVideo(part.data), choice };
  };

  async function* answer(
    { messages, look, options }: SdkRequest,
    { abortSignal }: { readonly abortSignal?: AbortSignal },
  ): SdkAnswering {
    const media: Media[] = [];
    try {
      const said: ChatMessage[] = [];
      for (const { role, parts } of messages) {
        const content = [];
        for (const part of parts) {
          if (part.type === "text") content.push(part);
          else {
            media.push(await openMedia(part, look));
            content.push({ type: part.type });
          }
        }
        said.push({ role, content });
      }
      const stream = model.stream({
        ...options,
        messages: said,
        media,
        ...(abortSignal && { signal: abortSignal }),
      });
      for (;;) {
        const next = await stream.next();
        if (!next.done) {
          if (next.value.type === "text") yield next.value.text;
          continue;
        }
        const { finishReason, usage, media: seen, timings, seed } = next.value;
        const metadata = { usage, media: seen, timings, seed } as unknown as JSONObject;
        return { finishReason, usage, metadata };
      }
    } finally {
      for (const item of media) if (item.type === "video") await item.video.close();
    }
  }

  return createLanguageModel({ provider: "saccade", modelId, supportedUrls: {}, answer });
};
