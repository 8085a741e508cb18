// Ask a question about an image and stream the answer.
//   node examples/ask-an-image.mjs [MODEL] [IMAGE] [QUESTION]
// MODEL is a folder or a hub repository. Without one, a small untrained model is made, so that the
// example runs anywhere: its words mean nothing, its token counts and times are real.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeImage, loadModel, writeNewModel } from "saccade/node";

const [, , modelName, imageFile, question = "What is in the picture?"] = process.argv;
const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const folder =
  modelName ?? (await writeNewModel(join(scratch, "model"), "tiny-llava-mini", 0)).path;

const model = await loadModel(folder);
const image = imageFile
  ? await decodeImage(imageFile)
  : { width: 64, height: 48, data: new Uint8Array(64 * 48 * 3).fill(200) };

const events = model.stream({
  messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
  media: [{ type: "image", image }],
  maxTokens: 24,
});
let event = await events.next();
while (!event.done) {
  if (event.value.type === "text") process.stdout.write(event.value.text);
  event = await events.next();
}
const { usage, timings } = event.value;
console.log(
  `\n${usage.imageTokens} image and ${usage.textTokens} text tokens, ` +
    `first token after ${timings.firstTokenMs.toFixed(0)} ms`,
);
await model.close();
await rm(scratch, { recursive: true });
