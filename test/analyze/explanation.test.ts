/** An explanation says what the parts of the library say. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Explanation, explainAnswer } from "../../src/analyze/explanation.js";
import { estimateCost } from "../../src/cost/cost-report.js";
import { type Answer, loadModel, OptionsError, type VisionLanguageModel } from "../../src/node.js";
import { randomImage, useModelFolders } from "../support/tiny-models.js";

const folders = useModelFolders();
const question = "Where is it?";
const image = randomImage(90, 60, 5);
const request = {
  messages: [{ role: "user", content: [{ type: "image" }, { type: "text", text: question }] }],
  media: [{ type: "image", image }],
  maxTokens: 3,
} as const;

type Case = { model: VisionLanguageModel; explanation: Explanation; answer: Answer };
const systems = ["avg", "mini-2"] as const;
const cases = new Map<(typeof systems)[number], Case>();
const get = (name: (typeof systems)[number]): Case => cases.get(name) as Case;
beforeAll(async () => {
  for (const name of systems) {
    const model = await loadModel(await folders.write(name), { threads: 1 });
    const answer = await model.answer(request);
    const explanation = await explainAnswer(model, image, question, { maxTokens: 3 });
    cases.set(name, { model, explanation, answer });
  }
}, 120_000);
afterAll(async () => {
  for (const { model } of cases.values()) await model.close();
});
/** As explanations round. */
const rounded = (value: number): number =>
  Number.isInteger(value) ? value : Number(value.toPrecision(6));

describe.each(systems)("an explanation of %s", (name) => {
  it("is of the answer that the model gives, at the price that it has", () => {
    const { model, explanation, answer } = get(name);
    expect(explanation.answer.ids).toEqual(answer.ids);
    expect(explanation.dropping.plain.greedyIds).toEqual(answer.ids);
    expect(explanation.usage).toEqual(answer.usage);
    const [route] = answer.media[0].routes ?? [];
    const cost = estimateCost(model, {
      media: [{ width: 90, height: 60, ...(route && { routed: route.granularity }) }],
      textTokens: answer.usage.textTokens,
      answerTokens: 3,
    });
    expect(cost.visionTokens).toBe(answer.usage.imageTokens);
    expect(explanation.cost.flops.total).toBe(rounded(cost.flops.total));
    expect(explanation.cost.bytes).toEqual(cost.bytes);
    expect(explanation.route?.granularity).toBe(route?.granularity);
    expect(explanation.route?.probabilities).toEqual(route?.probabilities?.map(rounded));
  });

  it("has maps whose mean is that of their levels, and whose shares are their sums", () => {
    const { heatMaps } = get(name).explanation;
    expect(Object.keys(heatMaps)).toHaveLength(name === "mini-2" ? 3 : 1);
    for (const { values, shares, lookers, origins, levels } of Object.values(heatMaps)) {
      expect(values).toHaveLength(levels.length);
      const [mean, ...others] = values;
      lookers.forEach((_, looker) => {
        expect(mean[looker]).toHaveLength(origins.length);
        mean[looker].forEach((value, place) => {
          const sum = others.reduce((total, level) => total + level[looker][place], 0);
          expect(value).toBeCloseTo(sum / others.length, 5);
        });
        const sum = mean[looker].reduce((total, value) => total + value, 0);
        expect(shares[0][looker]).toBeCloseTo(sum, 4);
      });
    }
  });

  it("gives every visual token a view and a cell, or says that it is of all views", () => {
    const { views, heatMaps, usage } = get(name).explanation;
    const own = views.reduce((sum, { numTokens }) => sum + numTokens, 0);
    const placed = heatMaps.answer.origins.filter(({ view }) => view !== undefined).length;
    expect(heatMaps.answer.origins).toHaveLength(usage.imageTokens);
    expect(own).toBe(placed);
    if (name === "mini-2") expect(own).toBe(0);
    else expect(own).toBeGreaterThan(0);
  });
});

it("is plain data: JSON and back is the same", () => {
  const { explanation } = get("mini-2");
  expect(JSON.parse(JSON.stringify(explanation))).toEqual(explanation);
});

it("is refused for blocks of no layer", async () => {
  const { model } = get("mini-2");
  await expect(
    explainAnswer(model, image, question, { blockSize: 0, maxTokens: 1 }),
  ).rejects.toThrow(OptionsError);
});
