// How finely to look: left to AVG-LLaVA's router, asked for, or bounded.
//   node examples/choose-tokens.mjs
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadModel, writeNewModel } from "saccade/node";

const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const { path } = await writeNewModel(join(scratch, "model"), "tiny-avg-llava", 0);
const model = await loadModel(path);
const image = { width: 640, height: 480, data: new Uint8Array(640 * 480 * 3).fill(128) };
const request = {
  messages: [
    { role: "user", content: [{ type: "image" }, { type: "text", text: "How many chairs?" }] },
  ],
  media: [{ type: "image", image }],
  maxTokens: 2,
};

const [{ tokenOptions }] = model.count(request).media;
console.log("tokens a view, of the image:", tokenOptions.all);
for (const choice of [{}, { detail: "low" }, { granularity: 36 }, { maxSoftTokens: 100 }]) {
  const answer = await model.answer({ ...request, choice });
  const [route] = answer.media[0].routes;
  console.log(JSON.stringify(choice), route);
  if (answer.usage.imageTokens !== route.tokens) throw new Error("the route was not taken");
}
await model.close();
await rm(scratch, { recursive: true });
