// Ask with the Vercel AI SDK (npm install ai @ai-sdk/provider), the model in this very process.
//   node examples/ai-sdk.mjs [MODEL] [IMAGE] [QUESTION]
// Over HTTP instead: createSaccade({ baseURL: "http://127.0.0.1:8080/v1" })("MODEL").
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { streamText } from "ai";
import { saccadeModel } from "saccade/ai-sdk";
import { decodeImage, loadModel, writeNewModel } from "saccade/node";
import sharp from "sharp";

const [, , modelName, imageFile, question = "What is in the picture?"] = process.argv;
const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const folder =
  modelName ?? (await writeNewModel(join(scratch, "model"), "tiny-llava-mini", 0)).path;
const image = imageFile
  ? await readFile(imageFile)
  : await sharp({ create: { width: 64, height: 48, channels: 3, background: "teal" } })
      .png()
      .toBuffer();

const model = await loadModel(folder);
const result = streamText({
  model: saccadeModel(model, { decodeImage }),
  maxOutputTokens: 24,
  messages: [
    {
      role: "user",
      content: [
        { type: "image", image },
        { type: "text", text: question },
      ],
    },
  ],
});
for await (const piece of result.textStream) process.stdout.write(piece);
const { inputTokens, outputTokens } = await result.usage;
console.log(`\n${inputTokens} tokens of prompt, ${outputTokens} of answer`);

await model.close();
await rm(scratch, { recursive: true });
