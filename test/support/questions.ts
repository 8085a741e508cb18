import type { GenerateRequest, Media } from "../../src/node.js";
import { randomImage } from "./tiny-models.js";

/**
 * A question, about an image where `imageSeed` is given. Tokens are drawn, so that an answer depends on
 * all scores; the scores of random weights lie close together, hence the low temperature.
 */
export const ask = (
  text: string,
  {
    imageSeed,
    width = 45,
    height = 33,
    ...options
  }: Partial<GenerateRequest> & {
    readonly imageSeed?: number;
    readonly width?: number;
    readonly height?: number;
  } = {},
): GenerateRequest => {
  const media: Media[] =
    imageSeed === undefined
      ? []
      : [{ type: "image", image: randomImage(width, height, imageSeed) }];
  return {
    messages: [
      {
        role: "user",
        content: [...media.map(({ type }) => ({ type })), { type: "text", text }],
      },
    ],
    media,
    temperature: 0.05,
    seed: 11,
    maxTokens: 10,
    ...options,
  };
};
