/** The language model seen from inside: the same answers, with attention, and with tokens hidden. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type AnsweredSequence,
  placesWhere,
  readAnsweredSequence,
} from "../../src/analyze/answered-sequence.js";
import { answerWithHidden } from "../../src/analyze/hidden-answer.js";
import { createSequenceProbe, type SequenceProbe } from "../../src/analyze/sequence-probe.js";
import { dropVisionByLayers, planLayerBlocks } from "../../src/analyze/vision-dropping.js";
import { measureViewUse, visualAttention } from "../../src/analyze/visual-attention.js";
import { OptionsError, PromptError } from "../../src/errors.js";
import { writeNewModel } from "../../src/load/new-model.node.js";
import { type Answer, loadModel, type VisionLanguageModel } from "../../src/node.js";
import { float32 } from "../../src/tensor-data.js";
import { ask } from "../support/questions.js";
import { randomImage, useModelFolders, videoOf } from "../support/tiny-models.js";

const folders = useModelFolders();
const question = ask("What is in the image?", {
  imageSeed: 4,
  width: 70,
  height: 50,
  temperature: 0,
  maxTokens: 6,
});

type Opened = {
  readonly model: VisionLanguageModel;
  readonly probe: SequenceProbe;
  readonly answer: Answer;
  readonly sequence: AnsweredSequence;
};
const open = async (folder: string): Promise<Opened> => {
  const model = await loadModel(folder, { threads: 1 });
  const probe = createSequenceProbe(model);
  const answer = await model.answer(question);
  const sequence = await readAnsweredSequence(model, probe, question, answer.ids);
  return { model, probe, answer, sequence };
};
const systems = ["llava-pad", "llava-next", "avg", "mini-1", "mini-hd", "uhd"] as const;
const opened = new Map<(typeof systems)[number], Opened>();
const get = (name: (typeof systems)[number]): Opened => opened.get(name) as Opened;
beforeAll(async () => {
  for (const name of systems) {
    const folder =
      name === "uhd"
        ? (await writeNewModel(`${await folders.write("mini-1")}-uhd`, "tiny-llava-uhd", 3)).path
        : await folders.write(name);
    opened.set(name, await open(folder));
  }
}, 120_000);
afterAll(async () => {
  for (const { model, probe } of opened.values()) {
    await probe.close();
    await model.close();
  }
});

describe.each(systems)("%s", (name) => {
  it("has a sequence that is prompt and answer, each token of one class", () => {
    const { answer, sequence, model } = get(name);
    const { tokens, promptLength } = sequence;
    expect(tokens).toHaveLength(answer.usage.promptTokens + answer.usage.completionTokens);
    expect(sequence.embeddings.shape[1]).toBe(tokens.length);
    const counts = (wanted: string) =>
      placesWhere(sequence, (token) => token.class === wanted).length;
    expect(counts("vision")).toBe(answer.usage.imageTokens);
    expect(counts("instruction")).toBe(answer.usage.textTokens);
    expect(counts("response")).toBe(answer.ids.length);
    expect(promptLength).toBe(answer.usage.promptTokens);
    const said = tokens.slice(promptLength).map(({ text }) => text);
    expect(said.join("")).toBe(model.tokenizer.decode(answer.ids));
  });

  it("has attention that adds up to 1 and looks at nothing later", async () => {
    const { probe, sequence } = get(name);
    const maps = await probe.attention(sequence);
    expect(maps).toHaveLength(probe.numLayers);
    for (const { length, weights } of maps) {
      for (let row = 0; row < length; row += 1) {
        const own = weights.subarray(row * length, (row + 1) * length);
        expect(own.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 4);
        expect(own.subarray(row + 1).every((value) => value === 0)).toBe(true);
      }
    }
    // What tokens of the answer looked at is a part of those rows.
    const seen = visualAttention(maps, sequence);
    expect(seen.flat().every((row) => row.reduce((sum, value) => sum + value, 0) <= 1.0001)).toBe(
      true,
    );
  });

  it("answers with nothing hidden what it answered, and loses nothing twice", async () => {
    const { probe, sequence, answer } = get(name);
    const plain = await answerWithHidden(probe, sequence);
    expect(plain.greedyIds).toEqual(answer.ids);
    const again = await answerWithHidden(probe, sequence, () => false);
    expect(again).toEqual(plain);
  });

  it("without vision in any layer answers as if the visual tokens were not there", async () => {
    const { probe, sequence } = get(name);
    const { everywhere, plain } = await dropVisionByLayers(probe, sequence, { blockSize: 1 });
    expect(Math.abs(everywhere.answerLoss - plain.answerLoss)).toBeGreaterThan(1e-7);
    // The other tokens alone, where they stood.
    const places = placesWhere(sequence, (token) => token.class !== "vision");
    const width = sequence.embeddings.shape[2];
    const rows = places.flatMap((place) =>
      Array.from(sequence.embeddings.data.subarray(place * width, (place + 1) * width)),
    );
    const predicting = sequence.answerIds.map((_, index) => sequence.promptLength - 1 + index);
    const scores = await probe.scores(
      { embeddings: float32([1, places.length, width], rows), positions: places },
      predicting.map((place) => places.indexOf(place)),
    );
    const losses = scores.map((row, index) => {
      const total = row.reduce((sum, score) => sum + Math.exp(score), 0);
      return Math.log(total) - row[sequence.answerIds[index]];
    });
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    expect(everywhere.answerLoss).toBeCloseTo(mean, 4);
  });

  it("tells each view with tokens of its own apart, and hiding it changes the scores", async () => {
    const { probe, sequence, answer } = get(name);
    const used = await measureViewUse(probe, sequence, await probe.attention(sequence));
    if (name.startsWith("mini")) {
      expect(used).toEqual([]);
      return;
    }
    expect(used).toHaveLength(answer.media[0].views.length);
    const plain = await answerWithHidden(probe, sequence);
    for (const { hidden, attention } of used) {
      expect(hidden.answerLoss).not.toBe(plain.answerLoss);
      expect(attention.every((share) => share > 0 && share < 1)).toBe(true);
    }
    const { origin } = sequence.tokens.find((token) => token.class === "vision") ?? {};
    expect(origin?.cell).toMatchObject({ row: 0, column: 0 });
  });
});

describe("an answer that changes", () => {
  it("is written on from the first token that differs, as generation would", async () => {
    const { probe, sequence, model, answer } = get("llava-pad");
    // Judged against an answer that the model would not give, its own is written instead.
    const other = answer.ids.map((id) => (id + 1) % model.tokenizer.vocabularySize);
    const judged = await readAnsweredSequence(model, probe, question, other);
    const { greedyIds, answerLoss } = await answerWithHidden(probe, judged);
    expect(greedyIds).toEqual(answer.ids);
    expect(answerLoss).toBeGreaterThan((await answerWithHidden(probe, sequence)).answerLoss);
  });
});

describe("bad input", () => {
  it.each([0, -1, 1.5])("a block of %s layers is an OptionsError", (size) => {
    expect(() => planLayerBlocks(4, size)).toThrow(OptionsError);
  });

  it("layers in blocks are all there, once", () => {
    const covered = planLayerBlocks(7, 3).flatMap(({ first, last }) =>
      Array.from({ length: last - first + 1 }, (_, index) => first + index),
    );
    expect(covered).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("an answer without a token, and a video, are PromptErrors", async () => {
    const { model, probe } = get("llava-pad");
    await expect(readAnsweredSequence(model, probe, question, [])).rejects.toThrow(PromptError);
    const video = {
      messages: [
        { role: "user", content: [{ type: "video" }, { type: "text", text: "What?" }] },
      ] as const,
      media: [{ type: "video", video: videoOf([randomImage(20, 20)]) }] as const,
    };
    await expect(readAnsweredSequence(model, probe, video, [5])).rejects.toThrow(/got a video/);
  });
});
