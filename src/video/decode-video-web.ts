import { VideoDecodeError } from "../errors.js";
import type { VideoSource } from "./video-source.js";
import { openTrack } from "./video-track.js";

/**
 * Opens a video file in a browser (MP4, MOV, WebM, Matroska) with the browser's own WebCodecs.
 *
 * Throws VideoDecodeError for a file that cannot be read or a browser without WebCodecs, LimitError
 * for frames above `maxPixels`.
 */
export const openVideo = async (
  file: Blob,
  options: { readonly maxPixels?: number } = {},
): Promise<VideoSource> => {
  if (typeof VideoDecoder === "undefined" || typeof EncodedVideoChunk === "undefined") {
    throw new VideoDecodeError(
      "openVideo: videos need a browser with WebCodecs in a secure page, got none. " +
        "Use a recent browser over https, or send single frames.",
    );
  }
  const { BlobSource } = await import("mediabunny");
  const codecs = { VideoDecoder, EncodedVideoChunk };
  return await openTrack(new BlobSource(file), "video", codecs, options);
};
