import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { grad, input, type Tensor } from "../../src/graph/index.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { decoderNames, parseDecoderConfig } from "../../src/language/qwen.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { feedJudged, judgedOf, judgedTokens } from "../../src/systems/judged-tokens.js";
import { bool, int64, type TensorData } from "../../src/tensor-data.js";
import { nextTokenLoss } from "../../src/train/next-token-loss.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { openSafetensors } from "../../src/weights/safetensors-file.node.js";
import { useEngine } from "../support/graph-runner.js";

const runner = useEngine();
const fixture = (file: string): string =>
  fileURLToPath(new URL(`../fixtures/qwen3-5/${file}`, import.meta.url));

const readAll = async (file: string): Promise<Map<string, TensorData>> => {
  const opened = await openSafetensors(fixture(file));
  const tensors = new Map<string, TensorData>();
  for (const name of opened.tensors.keys()) tensors.set(name, await opened.readTensor(name));
  return tensors;
};

/** Largest difference, relative to the largest element of what is expected. */
const errorOf = (value: TensorData, expected: TensorData): number => {
  const [own, theirs] = [value, expected].map(({ data }) => [...data].map(Number));
  const largest = Math.max(...theirs.map(Math.abs));
  return Math.max(...theirs.map((element, index) => Math.abs(element - own[index]))) / largest;
};

test.each([false, true])(
  "gradients of Qwen3.5's text model are those of PyTorch in float64 (computed again: %s)",
  async (recompute) => {
    const config = parseDecoderConfig(
      JSON.parse(await readFile(fixture("config.json"), "utf8")),
      "qwen3",
    );
    const names = createRenameTable(decoderNames);
    const params = llamaParams(new ParameterScope(), config);
    const stored = await readAll("model.safetensors");
    const declared = listParameters(params);
    const parameters = new Map(
      [...stored].map(([name, value]) => [names.toInternal(name) ?? "", value] as const),
    );
    const {
      ids,
      loss: expectedLoss,
      ...rest
    } = Object.fromEntries(await readAll("gradients.safetensors"));
    const length = ids.data.length;
    const places = [1, length];
    const judged = judgedTokens();
    const scores = sequenceScores(
      params,
      embedTokens(params, input("ids", "int64", places)),
      {
        positions: input("positions", "int64", places),
        tokenMask: input("tokenMask", "bool", places),
        tables: llamaRopeTables(config, length),
        readPlaces: judged.places,
      },
      config,
    );
    const loss = nextTokenLoss(scores, judged);
    const recorded = Object.keys(rest);
    const targets = recorded.map((name) => declared.get(names.toInternal(name) ?? "") as Tensor);
    const gradients = grad(loss, targets, { recompute });
    const outputs = Object.fromEntries(
      recorded.map((name, index) => [`gradient.${name}`, gradients[index] as Tensor]),
    );
    const tokens = Array.from(ids.data, Number);
    const results = await runner.compute(
      { loss, ...outputs },
      {
        ids: int64(places, tokens),
        ...feedJudged(judgedOf(int64(places, tokens))),
        positions: int64(places, [...tokens.keys()]),
        tokenMask: bool(
          places,
          tokens.map(() => true),
        ),
      },
      parameters,
    );
    expect(errorOf(results.loss, expectedLoss)).toBeLessThan(1e-6);
    expect(recorded.length).toBe(21);
    for (const [name, expected] of Object.entries(rest)) {
      expect(errorOf(results[`gradient.${name}`], expected), name).toBeLessThan(5e-5);
    }
  },
);
