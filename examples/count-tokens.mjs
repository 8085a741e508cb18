// Know what an image costs before anything runs, and see that it is what generation then uses.
//   node examples/count-tokens.mjs
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel, writeNewModel } from "saccade/node";

const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const image = { width: 640, height: 480, data: new Uint8Array(640 * 480 * 3).fill(128) };
const request = {
  messages: [
    { role: "user", content: [{ type: "image" }, { type: "text", text: "How many chairs?" }] },
  ],
  media: [{ type: "image", image }],
  maxTokens: 4,
};

for (const preset of ["tiny-llava", "tiny-llava-mini"]) {
  const { path } = await writeNewModel(join(scratch, preset), preset, 0);
  const model = await loadModel(path);
  const planned = model.count(request);
  const { usage } = await model.answer(request);
  console.log(
    `${preset}: planned ${planned.imageTokens} image tokens, used ${usage.imageTokens}; ` +
      `prompt ${planned.promptTokens} of ${model.contextLength}`,
  );
  if (planned.promptTokens !== usage.promptTokens) throw new Error("the plan was wrong");
  await model.close();
}
await rm(scratch, { recursive: true });
