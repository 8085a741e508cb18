import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateGraphCost } from "../../src/cost/graph-cost.js";
import { kvBytesPerToken, stateBytesPerSequence } from "../../src/cost/kv-bytes.js";
import { GraphError, ModelConfigError, UnknownArchitectureError } from "../../src/errors.js";
import { grad, initParameter, input, sumOfSquares, type Tensor } from "../../src/graph/index.js";
import { decoderGraph } from "../../src/language/decoder-graph.js";
import { sequenceScores } from "../../src/language/full-sequence.js";
import { embedTokens, llama, llamaParams, llamaRopeTables } from "../../src/language/llama.js";
import { decoderNames, parseDecoderConfig } from "../../src/language/qwen.js";
import { publishedModel, publishedSizes } from "../../src/load/published-sizes.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { elementCount, float32, int64, type TensorData } from "../../src/tensor-data.js";
import { createRenameTable } from "../../src/weights/rename.js";
import { useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

/** Qwen3.5-0.8B, as MiniCPM-V 4.6 has it. */
const published = publishedSizes["minicpm-v-4.6"].text_config;
const parse = (changes: object) => parseDecoderConfig({ ...published, ...changes }, "qwen3");

describe("the config of Qwen3.5's text model", () => {
  test("says which layers attend, and how", () => {
    const config = parse({});
    expect(config.deltaNet?.layers.flatMap((isDelta, at) => (isDelta ? [] : [at]))).toEqual([
      3, 7, 11, 15, 19, 23,
    ]);
    expect(config).toMatchObject({
      rotaryWidth: 64,
      ropeTheta: 10_000_000,
      queryKeyNorm: true,
      outputGate: true,
      zeroCentredNorms: true,
      tiedHead: true,
      deltaNet: { numKeyHeads: 16, keyWidth: 128, valueWidth: 128, kernelSize: 4 },
    });
    const layer_types = ["full_attention", "linear_attention"];
    expect(parse({ num_hidden_layers: 2, layer_types }).deltaNet?.layers).toEqual([false, true]);
    expect(parse({ full_attention_interval: 1 }).deltaNet).toBeUndefined();
  });

  test.each([
    [{ layer_types: ["full_attention"] }, /layer_types must name 24 layers .*got 1/],
    [{ full_attention_interval: 25 }, /must hold a full_attention/],
    [{ num_hidden_layers: 1, layer_types: ["sliding_attention"] }, /layer_types/],
    [{ linear_num_value_heads: 24 }, /multiple of linear_num_key_heads, got 24 and 16/],
    [{ linear_conv_kernel_dim: 1 }, /linear_conv_kernel_dim/],
    [{ linear_key_head_dim: 0 }, /linear_key_head_dim/],
    [{ attn_output_gate: false }, /attention without its gate is not implemented/],
    [{ hidden_act: "gelu" }, /hidden_act/],
    [
      { head_dim: 250, partial_rotary_factor: 0.3, rope_parameters: null },
      /even number of elements/,
    ],
    [{ rope_parameters: { partial_rotary_factor: 2 } }, /partial_rotary_factor/],
    [{ rope_parameters: { rope_type: "yarn", factor: 4 } }, /default, linear or llama3/],
  ])("refuses what is not implemented: %o", (changes, message) => {
    expect(() => parse(changes)).toThrow(ModelConfigError);
    expect(() => parse(changes)).toThrow(message);
  });

  test.each(["qwen3_5_moe_text", "qwen3_next"])("of %s is another architecture", (model_type) => {
    expect(() => parse({ model_type })).toThrow(UnknownArchitectureError);
    expect(() => parse({ model_type })).toThrow(/mixtures of experts are not implemented/);
  });
});

describe("the published model", () => {
  const config = parse({});
  const params = llamaParams(new ParameterScope(), config);

  test("has names that rename tables take back and forth", () => {
    const names = createRenameTable(decoderNames);
    const own = [...listParameters(params).keys()];
    const theirs = own.map((name) => names.toPublished(name) as string);
    expect(theirs.map((name) => names.toInternal(name))).toEqual(own);
    expect(theirs.filter((name) => name.startsWith("model.layers.0."))).toHaveLength(14);
    expect(theirs).toContain("model.layers.0.linear_attn.A_log");
    expect(theirs).toContain("model.layers.3.self_attn.q_norm.weight");
  });

  test("has as many parameters, inside MiniCPM-V 4.6, as the released one", () => {
    const { params: whole } = publishedModel("minicpm-v-4.6").system;
    const sizes = [...listParameters(whole).values()];
    const total = sizes.reduce((sum, { shape }) => sum + elementCount(shape.map(Number)), 0);
    expect(total).toBe(1_300_428_016);
  });

  test("costs a token its products with the weights, and with states and keys", () => {
    const graph = decoderGraph(params, config, 1);
    const { linear, attention } = estimateGraphCost(graph, { B: 1, T: 1, S: 1000 });
    const [width, inner] = [1024, 3584];
    const mlp = 3 * width * inner;
    const delta = width * (6144 + 2048 + 2 * 16 + 2048);
    const full = width * (2 * 2048 + 2 * 512 + 2048);
    expect(linear).toBe(24 * mlp + 18 * delta + 6 * full + width * 248_094);
    expect(attention).toBe(18 * 4 * 16 * 128 * 128 + 6 * 2 * 2048 * 1000);
    expect(kvBytesPerToken(config)).toBe(4 * 6 * 2 * 2 * 256);
    expect(stateBytesPerSequence(config)).toBe(4 * 18 * (16 * 128 * 128 + 3 * 6144));
    expect(stateBytesPerSequence(parse({ full_attention_interval: 1 }))).toBe(0);
  });
});

describe("rows that several samples share", () => {
  const runner = useEngine();
  const config = parse({
    vocab_size: 20,
    hidden_size: 12,
    intermediate_size: 16,
    num_hidden_layers: 3,
    full_attention_interval: 3,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    head_dim: 8,
    linear_num_key_heads: 2,
    linear_num_value_heads: 4,
    linear_key_head_dim: 4,
    linear_value_head_dim: 6,
    linear_conv_kernel_dim: 3,
  });
  const params = llamaParams(new ParameterScope(), config);
  const parameters = new Map(
    [...listParameters(params)].map(([name, { source, shape }]) => {
      const sides = shape.map(Number);
      const start = source.kind === "parameter" ? source.initializer : undefined;
      if (start === undefined) throw new Error(`${name} is no parameter`);
      return [name, float32(sides, initParameter(start, name, elementCount(sides), 7))];
    }),
  );

  test("give each sample the scores that it has alone, and the sum of their gradients", async () => {
    const declared = listParameters(params);
    const trained = ["layers.0.deltaNet.convolution", "layers.1.deltaNet.logRate", "embedding"];
    const targets = trained.map((name) => declared.get(name) as Tensor);
    const run = async (rows: readonly (readonly number[])[]) => {
      const length = rows.flat().length;
      const place = (name: string) => input(name, "int64", [1, length]);
      const scores = sequenceScores(
        params,
        embedTokens(params, place("ids")),
        {
          positions: place("positions"),
          segments: place("segments"),
          tables: llamaRopeTables(config, 18),
        },
        config,
      );
      const gradients = grad(sumOfSquares(scores, [0, 1, 2]), targets);
      const outputs = Object.fromEntries(
        trained.map((name, index) => [`gradient.${name}`, gradients[index] as Tensor]),
      );
      const feeds = {
        ids: rows.flat(),
        positions: rows.flatMap((row) => [...row.keys()]),
        segments: rows.flatMap((row, index) => row.map(() => index)),
      };
      const fed = Object.entries(feeds).map(([name, ids]) => [name, int64([1, length], ids)]);
      return runner.compute({ scores, ...outputs }, Object.fromEntries(fed), parameters);
    };
    const sample = fc.array(fc.nat(19), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(fc.array(sample, { minLength: 1, maxLength: 3 }), async (samples) => {
        const packed = await run(samples);
        const alone: Record<string, TensorData>[] = [];
        for (const row of samples) alone.push(await run([row]));
        const joined = alone.flatMap(({ scores }) => [...scores.data].map(Number));
        expectClose(packed.scores, float32(packed.scores.shape, joined));
        for (const name of trained.map((own) => `gradient.${own}`)) {
          const { shape, data } = packed[name];
          const sums = Array.from({ length: data.length }, (_, at) =>
            alone.reduce((sum, results) => sum + Number(results[name].data[at]), 0),
          );
          expectClose(packed[name], float32(shape, sums), 5e-5);
        }
      }),
      { numRuns: 5 },
    );
  });

  test("cannot hide tokens from single layers", () => {
    const bias = input("bias", "float32", [1, 1, 2, 2]);
    const context = {
      kind: "full",
      positions: input("positions", "int64", [1, 2]),
      tables: llamaRopeTables(config, 2),
      bias: [bias, bias, bias],
    } as const;
    const embeddings = input("embeddings", "float32", [1, 2, 12]);
    expect(() => llama(params, embeddings, context, config)).toThrow(GraphError);
  });
});
