// A video at one token a frame: a folder of frames, LLaVA-Mini.
//   node examples/one-token-video.mjs [VIDEO or folder of frames]
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel, openVideo, writeNewModel } from "saccade/node";
import sharp from "sharp";

const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
let file = process.argv[2];
if (file === undefined) {
  file = join(scratch, "frames");
  await mkdir(file);
  for (let frame = 0; frame < 6; frame += 1) {
    const background = { r: 40 * frame, g: 80, b: 200 - 30 * frame };
    await sharp({ create: { width: 64, height: 64, channels: 3, background } })
      .png()
      .toFile(join(file, `${frame}.png`));
  }
}
const { path } = await writeNewModel(join(scratch, "model"), "tiny-llava-mini", 0);
const model = await loadModel(path);
const video = await openVideo(file);
const answer = await model.answer({
  messages: [
    { role: "user", content: [{ type: "video" }, { type: "text", text: "What happens?" }] },
  ],
  media: [{ type: "video", video, sampling: { rule: "all", maxFrames: 16 } }],
  maxTokens: 8,
  onProgress: (done, total) => process.stderr.write(`frame ${done} of ${total}\n`),
});
console.log(`${answer.media[0].frames.sampled} frames, ${answer.usage.videoTokens} video tokens`);
await video.close();
await model.close();
await rm(scratch, { recursive: true });
