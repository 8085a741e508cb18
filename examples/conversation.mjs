// Several turns about one image: what the first turn computed is used again.
//   node examples/conversation.mjs
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collectAnswer, loadModel, writeNewModel } from "saccade/node";

const scratch = await mkdtemp(join(tmpdir(), "saccade-example-"));
const { path } = await writeNewModel(join(scratch, "model"), "tiny-llava", 0);
const model = await loadModel(path);
const image = { width: 96, height: 96, data: new Uint8Array(96 * 96 * 3).fill(90) };

const conversation = model.startConversation();
const first = await collectAnswer(
  conversation.ask(
    [{ type: "image" }, { type: "text", text: "What is this?" }],
    [{ type: "image", image }],
    { maxTokens: 8 },
  ),
);
const second = await collectAnswer(conversation.ask("And what colour?", [], { maxTokens: 8 }));
for (const { usage } of [first, second]) {
  console.log(`${usage.promptTokens} prompt tokens, ${usage.cachedTokens} of them known already`);
}
if (second.usage.cachedTokens === 0) throw new Error("nothing was reused");
await conversation.close();
await model.close();
await rm(scratch, { recursive: true });
