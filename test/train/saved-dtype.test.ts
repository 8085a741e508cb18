import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { openStartingModel } from "../../src/train/starting-model.node.js";
import { openModelFolder } from "../../src/weights/model-folder.node.js";
import { widenTensor } from "../../src/weights/widen.js";

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "saccade-dtype-"));
  await writeNewModel(join(root, "first"), "tiny-llava", 1);
});
afterAll(() => rm(root, { recursive: true, force: true }));

const save = async (name: string, dtype?: "float16") => {
  const from = join(root, "first");
  const model = await openStartingModel({ model: { from, initialise: [], dtype }, seed: 0 }, from, {
    offline: true,
  });
  const [changed] = [...model.parameters.keys()].filter((key) => key.startsWith("projector."));
  await model.save(join(root, name), new Map([[changed, await model.read(changed)]]), "card");
  return openModelFolder(join(root, name), { offline: true });
};

describe("a trained model", () => {
  test("is stored in half precision where the recipe says so, rounded and nothing else", async () => {
    const [plain, half] = [await save("plain"), await save("half", "float16")];
    expect([...half.tensors.keys()].sort()).toEqual([...plain.tensors.keys()].sort());
    for (const [name, { entry }] of half.tensors) {
      expect(entry.dtype).toBe("float16");
      const value = widenTensor(await half.readTensor(name));
      const exact = widenTensor(await plain.readTensor(name));
      const error = exact.data.map((x, i) => Math.abs(x - value.data[i]) - Math.abs(x) * 2 ** -11);
      // Half of the spacing, and of that of the smallest numbers.
      expect(Math.max(...error)).toBeLessThanOrEqual(2 ** -25);
    }
    const config = JSON.parse(await readFile(join(root, "half", "config.json"), "utf8"));
    expect(config.torch_dtype).toBe("float16");
  });
});
