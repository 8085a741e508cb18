import { randomUUID } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { ImageDecodeError } from "../errors.js";
import type { Media, MediaReport } from "../generate/media.js";
import { decodeImage } from "../image/decode.node.js";
import { openVideo } from "../video/decode-video.node.js";
import type { FrameSamplingOptions } from "../video/frame-sampling.js";
import { mayMove } from "../video/video-start.js";
import { UsageError } from "./exit.js";
import { mediaKindOf } from "./media-kind.js";
import type { Attachment, MediaFlags } from "./options.js";

/** An attachment that has been opened; `close` frees its file. */
export type OpenedMedia = {
  readonly label: string;
  readonly media: Media;
  readonly close: () => Promise<void>;
};

/** The library's frame sampling; throws `UsageError` where flags do not go together. */
export const samplingOf = ({
  frames,
  frameRule,
}: Pick<MediaFlags, "frames" | "frameRule">): FrameSamplingOptions => {
  if (frameRule === "uniform") {
    if (frames === undefined) {
      throw new UsageError("--frame-rule uniform needs a number of frames: add --frames N");
    }
    return { rule: "uniform", numFrames: frames };
  }
  return {
    ...(frameRule !== undefined && { rule: frameRule }),
    ...(frames !== undefined && { maxFrames: frames }),
  };
};

const asImage = async (source: string | Uint8Array, label: string): Promise<OpenedMedia> => ({
  label,
  media: { type: "image", image: await decodeImage(source) },
  close: async () => {},
});

const asVideo = async (
  path: string,
  label: string,
  sampling: FrameSamplingOptions,
): Promise<OpenedMedia> => {
  const video = await openVideo(path);
  return { label, media: { type: "video", video, sampling }, close: () => video.close() };
};

const openFile = async (
  { kind, path }: Attachment,
  label: string,
  sampling: FrameSamplingOptions,
): Promise<OpenedMedia> => {
  const found = kind === "any" ? await mediaKindOf(path) : kind;
  if (found === "video") return asVideo(path, label, sampling);
  return asImage(path, label).catch((error: unknown) => {
    if (kind === "image" || !(error instanceof ImageDecodeError)) throw error;
    throw new ImageDecodeError(`${error.message} If it is a video, attach it with --video.`, {
      cause: error,
    });
  });
};

/** Standard input: an image is decoded where it is, a video lies in a file as long as it is open. */
const openBytes = async (
  bytes: Uint8Array,
  kind: Attachment["kind"],
  sampling: FrameSamplingOptions,
): Promise<OpenedMedia> => {
  const label = "standard input";
  if (kind === "image" || (kind === "any" && !mayMove(bytes))) return asImage(bytes, label);
  const path = join(tmpdir(), `saccade-${randomUUID()}`);
  const remove = () => rm(path, { force: true });
  await writeFile(path, bytes);
  try {
    const opened = await openFile({ kind, path }, label, sampling);
    const close = async () => {
      await opened.close();
      await remove();
    };
    return { ...opened, close };
  } catch (error) {
    await remove();
    throw error;
  }
};

/**
 * Opens attachments in order: `any` by content, never by name. `readInput` gives standard input for
 * `-`. Nothing stays open when one fails.
 */
export const openAttachments = async (
  attachments: readonly Attachment[],
  sampling: FrameSamplingOptions,
  readInput: () => Promise<Uint8Array>,
): Promise<OpenedMedia[]> => {
  if (attachments.filter(({ path }) => path === "-").length > 1) {
    throw new UsageError("standard input (-) can be attached once, got it twice");
  }
  const opened: OpenedMedia[] = [];
  try {
    for (const attachment of attachments) {
      const { kind, path } = attachment;
      opened.push(
        path === "-"
          ? await openBytes(await readInput(), kind, sampling)
          : await openFile(attachment, basename(path), sampling),
      );
    }
    return opened;
  } catch (error) {
    await closeAll(opened);
    throw error;
  }
};

export const closeAll = async (opened: readonly OpenedMedia[]): Promise<void> => {
  for (const { close } of opened) await close();
};

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** How many tokens a medium takes, and who chose it where there was a choice. */
const describeTokens = ({ tokens, tokenOptions, routes }: MediaReport): string => {
  const total = plural(tokens, "token");
  if (tokenOptions === undefined) return total;
  if (routes === undefined) {
    const { allowed, chosenBy } = tokenOptions;
    if (chosenBy !== "router") return `${allowed[0].granularity} a view, ${total}`;
    const choices = allowed.map(({ granularity }) => granularity).join(", ");
    return `at most ${total}: the router chooses among ${choices} a view`;
  }
  const chosen = [...new Set(routes.map(({ granularity }) => granularity))].join(", ");
  const { chosenBy, probabilities = [] } = routes[0];
  if (chosenBy !== "router") return `${chosen} a view, ${total}`;
  // For a video, whose frames each have their own, they would be too many.
  const likely = Math.max(...probabilities).toFixed(2);
  const certain = routes.length === 1 ? ` (probability ${likely})` : "";
  return `${chosen} a view by the router${certain}, ${total}`;
};

/** Whether a router has yet to say how many tokens a medium takes. */
export const isOpen = ({ tokenOptions, routes }: MediaReport): boolean =>
  tokenOptions?.chosenBy === "router" && routes === undefined;

/** What is done to a medium, in one line: nothing is scaled down or left out silently. */
export const describeMedia = (label: string, report: MediaReport): string => {
  const { size, views, frames } = report;
  const [first] = views;
  const seen = `${plural(views.length, "view")} of ${first.width}x${first.height}`;
  const line = `${label}: ${size.width}x${size.height}`;
  if (frames === undefined) return `${line}, ${seen}, ${describeTokens(report)}`;
  const cut = frames.isCapped ? `; the rule asks for ${frames.wanted}, cut by --frames` : "";
  return `${line}, ${frames.sampled} of ${plural(frames.total, "frame")}${cut}; ${seen} each, ${describeTokens(report)}`;
};
