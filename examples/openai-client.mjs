// Serve a model and ask it with the official `openai` package (npm install openai), unmodified.
//   node examples/openai-client.mjs [MODEL] [IMAGE] [QUESTION]
// The same with curl: examples/curl.sh. Without a MODEL a small untrained one is made: its words mean
// nothing, its token counts and times are real.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import OpenAI from "openai";
import { writeNewModel } from "saccade/node";
import { startServer } from "saccade/server";
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

// In a terminal: saccade serve --model eyes=FOLDER
const server = await startServer({ models: { eyes: folder }, port: 0 });
await server.ready;

const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: "none" });
const url = `data:image/png;base64,${image.toString("base64")}`;
const stream = await client.chat.completions.create({
  model: "eyes",
  max_tokens: 24,
  messages: [
    {
      role: "user",
      content: [
        // `detail`, or a budget of your own: { url, max_soft_tokens: 64 }.
        { type: "image_url", image_url: { url, detail: "auto" } },
        { type: "text", text: question },
      ],
    },
  ],
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  process.stdout.write(chunk.choices[0]?.delta.content ?? "");
  if (chunk.choices[0]?.finish_reason) {
    // What was done to the image comes with the last piece.
    const [{ tokens, views }] = chunk.vision.media;
    console.log(`\n${views.length} view, ${tokens} token, ${chunk.vision.flops.total} FLOPs`);
  }
  if (chunk.usage) console.log(`${chunk.usage.prompt_tokens} tokens of prompt`);
}

await server.close();
await rm(scratch, { recursive: true });
