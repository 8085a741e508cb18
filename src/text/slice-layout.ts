/**
 * How images in slices, and videos, stand in a prompt of LLaVA-UHD v4 and MiniCPM-V (released training code, "new
 * schema"; transformers' `MiniCPMV4_6Processor`): markers around every view, a newline between rows of slices.
 */
import { PromptError, TokenizerError } from "../errors.js";
import { imagePlaceholderId } from "./image-placeholder.js";
import type { Tokenizer } from "./tokenizer.js";

/** Opening and closing token. */
type MarkerPair = readonly [string, string];

export type SliceMarkers = {
  /** Around the number of an image, from 0 on. */
  readonly imageId: MarkerPair;
  /** Around the tokens of a thumbnail, or of an image that is not sliced. */
  readonly image: MarkerPair;
  /** Around the tokens of a slice. */
  readonly slice: MarkerPair;
  /** Stands for one visual token of an image, and of a video. */
  readonly imageToken: string;
  readonly videoToken: string;
};

const pairs = {
  imageId: ["<image_id>", "</image_id>"],
  image: ["<image>", "</image>"],
  slice: ["<slice>", "</slice>"],
} as const;

/** MiniCPM-V 4.6 in transformers. */
export const padMarkers: SliceMarkers = {
  ...pairs,
  imageToken: "<|image_pad|>",
  videoToken: "<|video_pad|>",
};

/** LLaVA-UHD v4's training code and MiniCPM-V 2.6 to 4.5. */
export const unknownMarkers: SliceMarkers = { ...pairs, imageToken: "<unk>", videoToken: "<unk>" };

/** One image, or one frame, as its plan says. */
export type ImageLayout = {
  /** Visual tokens of each view: the thumbnail first, then the slices row by row. */
  readonly viewTokens: readonly number[];
  /** How the slices lie; 0 x 0 without. */
  readonly grid: { readonly rows: number; readonly columns: number };
};

/** What stands behind one placeholder of a prompt. */
export type MediumLayout =
  | { readonly type: "image"; readonly image: ImageLayout }
  | { readonly type: "video"; readonly frames: readonly ImageLayout[] };

export type LayoutPiece =
  | { readonly type: "text"; readonly text: string }
  /** The visual tokens of one view. */
  | { readonly type: "view"; readonly numTokens: number };

export type SliceLayoutOptions = {
  readonly markers?: SliceMarkers;
  /** Whether media are numbered; default true. */
  readonly usesImageIds?: boolean;
};

const layOutImage = (
  { viewTokens, grid: { rows, columns } }: ImageLayout,
  markers: SliceMarkers,
): LayoutPiece[] => {
  const [thumbnail, ...slices] = viewTokens;
  if (thumbnail === undefined || slices.length !== rows * columns) {
    throw new PromptError(
      `layOutMedium: an image is a thumbnail and its ${rows}x${columns} slices, got ` +
        `${viewTokens.length} views. Lay out what planSlices gives.`,
    );
  }
  const view = ([start, end]: MarkerPair, numTokens: number): LayoutPiece[] => [
    { type: "text", text: start },
    { type: "view", numTokens },
    { type: "text", text: end },
  ];
  return [
    ...view(markers.image, thumbnail),
    ...slices.flatMap((numTokens, index): LayoutPiece[] => {
      const startsRow = index > 0 && index % columns === 0;
      const slice = view(markers.slice, numTokens);
      return startsRow ? [{ type: "text", text: "\n" }, ...slice] : slice;
    }),
  ];
};

/** Neighbouring texts as one, so that they are tokenised as they would be in the whole prompt. */
const joinTexts = (pieces: readonly LayoutPiece[]): LayoutPiece[] => {
  const joined: LayoutPiece[] = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (piece.type === "text" && last?.type === "text")
      joined[joined.length - 1] = { type: "text", text: last.text + piece.text };
    else joined.push(piece);
  }
  return joined;
};

/**
 * One image or video as it stands in the prompt. `id` counts the images of a conversation from 0 on, videos on their own.
 * The frames of a video share its number and follow each other without a separator.
 *
 * @throws PromptError where views and grid disagree, or a video has no frame.
 */
export const layOutMedium = (
  medium: MediumLayout,
  id: number,
  { markers = padMarkers, usesImageIds = true }: SliceLayoutOptions = {},
): LayoutPiece[] => {
  const images = medium.type === "image" ? [medium.image] : medium.frames;
  if (images.length === 0)
    throw new PromptError(
      "layOutMedium: a video has at least one frame, got none. Sample some first.",
    );
  const [start, end] = markers.imageId;
  return joinTexts([
    ...(usesImageIds ? [{ type: "text", text: `${start}${id}${end}` } as const] : []),
    ...images.flatMap((image) => layOutImage(image, markers)),
  ]);
};

/** Media with their numbers, images and videos counted apart. */
const numberMedia = (media: readonly MediumLayout[]): [MediumLayout, number][] => {
  const counts = { image: 0, video: 0 };
  return media.map((medium) => [medium, counts[medium.type]++]);
};

/** A medium as the reference writes it: one placeholder text for every visual token. */
export const writeMedium = (
  medium: MediumLayout,
  id: number,
  options: SliceLayoutOptions = {},
): string => {
  const { markers = padMarkers } = options;
  const token = medium.type === "image" ? markers.imageToken : markers.videoToken;
  return layOutMedium(medium, id, options)
    .map((piece) => (piece.type === "text" ? piece.text : token.repeat(piece.numTokens)))
    .join("");
};

/**
 * Checks that every marker is one token: as several, a model that knows them would not.
 *
 * @throws TokenizerError otherwise.
 */
export const checkSliceMarkers = (
  tokenizer: Pick<Tokenizer, "idOf">,
  { imageId, image, slice }: SliceMarkers = padMarkers,
): void => {
  const missing = [...imageId, ...image, ...slice].filter(
    (token) => tokenizer.idOf(token) === undefined,
  );
  if (missing.length === 0) return;
  throw new TokenizerError(
    `checkSliceMarkers: every marker is a token of the vocabulary, got none for ${missing.join(" ")}. ` +
      "Use the tokenizer of the model, or add the markers as special tokens and train them.",
  );
};

/** A prompt with media laid out, and where each id comes from. */
export type ExpandedPrompt = {
  readonly ids: readonly number[];
  /** Place of every id in the prompt before: its own, or that of its medium's placeholder. */
  readonly places: readonly number[];
};

/**
 * `ids` with each of `media` laid out in place of its placeholder: markers as tokens, one placeholder for every view. What
 * is between two views is tokenised as one text, as it is in the whole prompt.
 *
 * @throws PromptError where the prompt has more or fewer placeholders than there are media; TokenizerError where the
 * vocabulary lacks a marker.
 */
export const expandPrompt = (
  ids: readonly number[],
  media: readonly MediumLayout[],
  tokenizer: Pick<Tokenizer, "encode" | "idOf">,
  options: SliceLayoutOptions = {},
): ExpandedPrompt => {
  const numPlaceholders = ids.filter((id) => id === imagePlaceholderId).length;
  if (numPlaceholders !== media.length)
    throw new PromptError(
      `expandMedia: the prompt has one placeholder for each image or video, got ${numPlaceholders} for ${media.length}. Give one for each.`,
    );
  if (media.length > 0) checkSliceMarkers(tokenizer, options.markers);
  const numbered = numberMedia(media)[Symbol.iterator]();
  const expanded = ids.map((id) => {
    if (id !== imagePlaceholderId) return [id];
    const [medium, number] = numbered.next().value as [MediumLayout, number];
    return layOutMedium(medium, number, options).flatMap((piece) =>
      piece.type === "view"
        ? [imagePlaceholderId]
        : tokenizer.encode(piece.text, { addSpecialTokens: false }),
    );
  });
  return {
    ids: expanded.flat(),
    places: expanded.flatMap((part, place) => part.map(() => place)),
  };
};

/** The ids of `expandPrompt` alone. */
export const expandMedia = (...parameters: Parameters<typeof expandPrompt>): number[] => [
  ...expandPrompt(...parameters).ids,
];

/** Tokens that a medium takes in the prompt: of its views, and of the markers and newlines around them. */
export const countMediumTokens = (
  medium: MediumLayout,
  id: number,
  tokenizer: Pick<Tokenizer, "encode">,
  options: SliceLayoutOptions = {},
): { readonly visual: number; readonly markers: number } => {
  const counts = { visual: 0, markers: 0 };
  for (const piece of layOutMedium(medium, id, options)) {
    if (piece.type === "view") counts.visual += piece.numTokens;
    else counts.markers += tokenizer.encode(piece.text, { addSpecialTokens: false }).length;
  }
  return counts;
};
