// Where a model's attention goes, layer by layer: to the instruction, to the image, to its own answer.
//   node examples/attention-by-class.mjs [MODEL] [IMAGE] [QUESTION]
// Without a model a small untrained one is made: its numbers mean nothing, but they are measured.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  attentionByClass,
  createSequenceProbe,
  decodeImage,
  dropVisionByLayers,
  entropyByClass,
  loadModel,
  readAnsweredSequence,
  writeNewModel,
} from "saccade/node";

const [, , modelName, imageFile, question = "What is in the picture?"] = process.argv;
const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const folder = modelName ?? (await writeNewModel(join(scratch, "model"), "tiny-llava", 0)).path;
const model = await loadModel(folder);
const image = imageFile
  ? await decodeImage(imageFile)
  : { width: 64, height: 48, data: new Uint8Array(64 * 48 * 3).fill(200) };
const request = {
  messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
  media: [{ type: "image", image }],
  maxTokens: 6,
};

const answer = await model.answer(request);
const probe = createSequenceProbe(model);
const sequence = await readAnsweredSequence(model, probe, request, answer.ids);
const classes = sequence.tokens.map((token) => token.class);
const maps = await probe.attention(sequence);
console.log(`answer: ${answer.text}`);
console.table(
  maps.map((map, layer) => ({
    layer: layer + 1,
    ...attentionByClass(map, classes).response,
    "entropy over vision": entropyByClass(map, classes).response.vision,
  })),
);

const { plain, blocks, everywhere } = await dropVisionByLayers(probe, sequence);
console.table([
  { "image hidden in": "no layer", loss: plain.answerLoss },
  ...blocks.map(({ layers: { first, last }, answerLoss }) => ({
    "image hidden in": `layers ${first + 1} to ${last + 1}`,
    loss: answerLoss,
  })),
  { "image hidden in": "all layers", loss: everywhere.answerLoss },
]);
await probe.close();
await model.close();
await rm(scratch, { recursive: true });
