import { open, stat } from "node:fs/promises";
import { isAnimation } from "../video/animation-source.node.js";
import { openVideo } from "../video/decode-video.node.js";
import { isVideoStart, startBytes } from "../video/video-start.js";

/**
 * Whether `path` holds an image or a video, by its content: folders, videos and animations of more
 * than one frame are videos. What is neither counts as an image, whose reader names the reason.
 */
export const mediaKindOf = async (path: string): Promise<"image" | "video"> => {
  const stats = await stat(path).catch(() => undefined);
  if (stats?.isDirectory()) return "video";
  if (!stats?.isFile()) return "image";
  const file = await open(path, "r");
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(startBytes), 0, startBytes, 0);
    if (isVideoStart(buffer.subarray(0, bytesRead))) return "video";
  } finally {
    await file.close();
  }
  if (!(await isAnimation(path))) return "image";
  const video = await openVideo(path);
  await video.close();
  return video.frameCount > 1 ? "video" : "image";
};
