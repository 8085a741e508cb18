import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createNodeEngine } from "../../src/graph/engine.node.js";
import type { Engine } from "../../src/graph/index.js";
import type { LabelledBatch } from "../../src/systems/labelled-batch.js";
import type { LoopTensors, Trainable } from "../../src/train/trainable.js";
import { createVisionLanguageTrainable } from "../../src/train/vision-language-trainable.js";
import { samplesOf, tinyBatch, tinyTraining } from "../support/tiny-training.js";

const { config, values, frozen, names } = tinyTraining("mini-1");
const rates = { vision: 1e-3, rest: 2e-3 };

let engine: Engine;
beforeAll(() => {
  engine = createNodeEngine({ threads: 1 });
});
afterAll(() => engine.close());

const open = (gradientCheckpointing = false): Promise<Trainable<LabelledBatch>> =>
  createVisionLanguageTrainable(engine, config, {
    state: values,
    frozen,
    trainsEmbeddings: true,
    gradientCheckpointing,
    maxGradientNorm: 0.5,
    groups: [
      { name: "vision", parameters: names.filter((name) => name.startsWith("vision.")) },
      {
        name: "rest",
        parameters: names.filter((name) => !name.startsWith("vision.")),
        weightDecay: 0.1,
      },
    ],
  });

/**
 * Largest difference of two states. A first step moves every element by about the rate, whatever its
 * gradient: one whose gradient is nothing but rounding may go either way, so a few are left out.
 */
const expectSame = (left: LoopTensors, right: LoopTensors): void => {
  let [far, total] = [0, 0];
  for (const [name, { data }] of left) {
    const other = right.get(name)?.data ?? [];
    expect(other.length, name).toBe(data.length);
    data.forEach((value, index) => {
      total += 1;
      if (Math.abs(value - other[index]) > 2e-5) far += 1;
    });
  }
  expect(far / total).toBeLessThan(2e-3);
};

describe("accumulated batches", () => {
  it("are one large batch, however many tokens each has", async () => {
    const whole = tinyBatch(6, 14);
    const parts = [samplesOf(whole, 0, 2), samplesOf(whole, 2, 3), samplesOf(whole, 3, 6)];
    const [one, many] = [await open(), await open()];
    for (let round = 0; round < 2; round += 1) {
      const expected = await one.step(whole, rates);
      let [weighted, tokens] = [0, 0];
      for (const part of parts.slice(0, -1)) {
        const result = await many.accumulate?.(part);
        weighted += (result?.loss ?? 0) * (result?.tokens ?? 0);
        tokens += result?.tokens ?? 0;
      }
      const last = await many.step(parts[2], rates);
      weighted += last.loss * last.tokens;
      tokens += last.tokens;
      expect(tokens).toBe(expected.tokens);
      expect(weighted / tokens).toBeCloseTo(expected.loss, 4);
      expect(Math.abs(last.gradientNorm / expected.gradientNorm - 1)).toBeLessThan(1e-4);
    }
    expectSame(await one.state(), await many.state());
    await one.close();
    await many.close();
  });

  it("of text leave the parameters of vision alone, moments included", async () => {
    const model = await open();
    await model.step(tinyBatch(2, 10), rates);
    const before = await model.state();
    await model.accumulate?.(tinyBatch(2, 10, { hasImages: false, seed: 2 }));
    await model.step(tinyBatch(2, 10, { hasImages: false, seed: 3 }), rates);
    const after = await model.state();
    for (const [name, { data }] of after) {
      const isVision = /(?:^|second\.|first\.)(?:vision|projector|compressor|prefusion)\./.test(
        name,
      );
      if (isVision) expect(data, name).toEqual(before.get(name)?.data);
    }
    const text = "language.layers.0.mlp.up.weight";
    expect(after.get(text)?.data).not.toEqual(before.get(text)?.data);
    // A batch with images begins its sums anew.
    await model.accumulate?.(tinyBatch(2, 10, { hasImages: false, seed: 2 }));
    await model.step(tinyBatch(2, 10), rates);
    expect((await model.state()).get("projector.layers.0.weight")?.data).not.toEqual(
      after.get("projector.layers.0.weight")?.data,
    );
    await model.close();
  });

  it("that are not finite change nothing, and are forgotten", async () => {
    const [model, other] = [await open(), await open()];
    const good = tinyBatch(2, 10);
    const bad = tinyBatch(2, 10);
    bad.pixels?.data.fill(Number.NaN);
    await model.accumulate?.(bad);
    const { gradientNorm } = await model.step(good, rates);
    expect(gradientNorm).toBeNaN();
    expect((await model.state()).get("projector.layers.0.weight")?.data).toEqual(
      values.get("projector.layers.0.weight")?.data,
    );
    for (const trainable of [model, other]) {
      await trainable.accumulate?.(good);
      await trainable.step(good, rates);
    }
    expect(await model.state()).toEqual(await other.state());
    await model.close();
    await other.close();
  });
});

describe("gradient checkpointing", () => {
  it("takes the same steps", async () => {
    const [kept, again] = [await open(), await open(true)];
    for (const seed of [1, 2]) {
      const batch = tinyBatch(3, 12, { seed });
      const [left, right] = [await kept.step(batch, rates), await again.step(batch, rates)];
      expect(right.loss).toBeCloseTo(left.loss, 5);
      expect(Math.abs(right.gradientNorm / left.gradientNorm - 1)).toBeLessThan(1e-4);
    }
    expectSame(await kept.state(), await again.state());
    await kept.close();
    await again.close();
  });
});
