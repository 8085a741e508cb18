/** A question to a model in a process of its own, whose memory is measured: `node … FOLDER WIDTH HEIGHT`. */
import { readFileSync } from "node:fs";
import { loadModel } from "../../src/generate/load-model.node.js";

/** A line of this process's status, in bytes. */
const statusBytes = (name: string): number => {
  const line = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(
    readFileSync("/proc/self/status", "utf8"),
  );
  return 1024 * Number(line?.[1]);
};

const [folder, ...sides] = process.argv.slice(2);
const [width, height] = sides.map(Number);
const image = { width, height, data: new Uint8Array(width * height * 3).fill(99) };
const maxTokens = 4;
const model = await loadModel(folder, { threads: 1 });
const before = statusBytes("VmRSS");
const { usage } = await model.answer({
  messages: [
    { role: "user", content: [{ type: "image" }, { type: "text", text: "What is this?" }] },
  ],
  media: [{ type: "image", image }],
  maxTokens,
});
const peakBytes = statusBytes("VmHWM") - before;
await model.close();
process.stdout.write(JSON.stringify({ peakBytes, textTokens: usage.textTokens, maxTokens }));
