import { describe, expect, test } from "vitest";
import { OptionsError, ShapeError } from "../../src/errors.js";
import {
  createGraph,
  grad,
  initParameter,
  inMemoryParameters,
  input,
  multiply,
  sum,
  type Tensor,
} from "../../src/graph/index.js";
import { listParameters, ParameterScope } from "../../src/nn/parameter-scope.js";
import { postNormLayer } from "../../src/nn/post-norm-layer.js";
import {
  type GranularityRouterConfig,
  granularityRouter,
  granularityRouterHeads,
  granularityRouterParams,
  numRouterSlots,
} from "../../src/reduce/granularity-router.js";
import { planGranularities, type TokenGrid } from "../../src/reduce/granularity-scaler.js";
import { bool, elementCount, float32, type TensorData } from "../../src/tensor-data.js";
import { randomTensors, useEngine } from "../support/graph-runner.js";
import { expectClose } from "../support/reference-tensors.js";

const runner = useEngine();

const configOf = (
  counts: readonly number[],
  {
    width = 16,
    grid = { rows: 4, columns: 4 },
    filteredTokens = 3,
    attention = "views",
  }: Partial<GranularityRouterConfig> = {},
): GranularityRouterConfig => ({
  width,
  grid,
  granularities: planGranularities(counts, grid),
  filteredTokens,
  attention,
});
const small = configOf([1, 4, 16]);

/** First values of a router's parameters; the norm is moved away from ones and zeros. */
const weightsOf = (config: GranularityRouterConfig, seed = 1): Map<string, TensorData> => {
  const values = new Map<string, TensorData>();
  for (const [name, { source, shape }] of listParameters(
    granularityRouterParams(new ParameterScope(), config),
  )) {
    if (source.kind !== "parameter") continue;
    const sides = shape.map(Number);
    const first = initParameter(source.initializer, name, elementCount(sides), seed);
    const shift = randomTensors(seed + name.length)(sides, 0.2);
    values.set(
      name,
      float32(
        sides,
        first.map((value, index) => value + shift.data[index]),
      ),
    );
  }
  return values;
};

type Values = Readonly<Record<"views" | "text", TensorData<"float32">>> & {
  readonly textMask?: TensorData<"bool">;
  readonly viewMask?: TensorData<"bool">;
};

const logitsOf = async (
  config: GranularityRouterConfig,
  /** Without text where the router does not look at it: then it is no input of the graph. */
  values: Omit<Values, "text"> & Partial<Pick<Values, "text">>,
  weights = weightsOf(config),
): Promise<TensorData> => {
  const given = Object.entries(values).filter(([, value]) => value !== undefined);
  const inputs = Object.fromEntries(
    given.map(([name, value]) => [name, input(name, value.dtype, value.shape)]),
  ) as Record<keyof Values, Tensor>;
  const params = granularityRouterParams(new ParameterScope(), config);
  const text = inputs.text ?? input("text", "float32", [1, 1, config.width]);
  const logits = granularityRouter(params, { ...inputs, text }, config);
  const results = await runner.compute({ logits }, Object.fromEntries(given), weights);
  return results.logits;
};

const draw = randomTensors(21);
const sample = (numViews = 3, numText = 6, batch = 1): Values => ({
  views: draw([batch, numViews, 16, 16]),
  text: draw([batch, numText, 16]),
});

describe("a router of the published size", () => {
  test("has 117,507,211 parameters and 1148 slots", () => {
    const config = configOf([36, 72, 144, 288, 576], {
      width: 4096,
      grid: { rows: 24, columns: 24 },
      filteredTokens: 32,
    });
    const parameters = [...listParameters(granularityRouterParams(new ParameterScope(), config))];
    const total = parameters.reduce(
      (count, [, { shape }]) => count + elementCount(shape.map(Number)),
      0,
    );
    expect(total).toBe(117_507_211);
    expect(numRouterSlots(config)).toBe(1148);
  });
});

describe.each(["views", "tokens"] as const)("a router that attends over %s", (attention) => {
  const config = { ...small, attention };

  test("treats the samples of a batch alone", async () => {
    const both = sample(3, 6, 2);
    const together = await logitsOf(config, both);
    const half = (tensor: TensorData<"float32">, index: number) => {
      const length = tensor.data.length / 2;
      return float32(
        [1, ...tensor.shape.slice(1)],
        tensor.data.slice(index * length, (index + 1) * length),
      );
    };
    for (const index of [0, 1]) {
      const alone = await logitsOf(config, {
        views: half(both.views, index),
        text: half(both.text, index),
      });
      expectClose(half(together as TensorData<"float32">, index), alone);
    }
  });

  test("does not see masked views and masked text, whatever they hold", async () => {
    const { views, text } = sample(3, 6);
    const alone = await logitsOf(config, { views, text });
    const noise = draw([1, 2, 16, 16], 30);
    const longer = {
      views: float32([1, 5, 16, 16], [...views.data, ...noise.data]),
      text: float32([1, 9, 16], [...text.data, ...draw([1, 3, 16], 30).data]),
      viewMask: bool([1, 5], [true, true, true, false, false]),
      textMask: bool(
        [1, 9],
        Array.from({ length: 9 }, (_, place) => place < 6),
      ),
    };
    expectClose(await logitsOf(config, longer), alone);
  });

  test("does not mind the order of the tiles, but which view is the whole image", async () => {
    const { views, text } = sample(4, 6);
    const reorder = (order: readonly number[]) => ({
      views: float32(
        [1, 4, 16, 16],
        order.flatMap((view) => Array.from(views.data.slice(view * 256, (view + 1) * 256))),
      ),
      text,
    });
    const first = await logitsOf(config, { views, text });
    expectClose(await logitsOf(config, reorder([0, 3, 1, 2])), first);
    const other = await logitsOf(config, reorder([3, 1, 2, 0]));
    expect(Array.from(other.data, Number)).not.toEqual(Array.from(first.data, Number));
  });

  test("has the gradient of central differences in every parameter", async () => {
    const params = granularityRouterParams(new ParameterScope([], () => true), config);
    const values = sample(3, 2);
    const weights = weightsOf(config);
    const logits = granularityRouter(
      params,
      {
        views: input("views", "float32", values.views.shape),
        text: input("text", "float32", values.text.shape),
      },
      config,
    );
    const loss = sum(multiply(logits, input("weigh", "float32", [1, 3])), [0, 1]);
    const { inputs } = createGraph("loss", { loss });
    const names = [...weights.keys()];
    const gradients = grad(
      loss,
      names.map((name) => inputs.get(name) as Tensor),
    );
    const outputs = Object.fromEntries(
      gradients.flatMap((gradient, index) => (gradient ? [[`g.${names[index]}`, gradient]] : [])),
    );
    const session = await runner
      .engine()
      .open(createGraph("gradients", { loss, ...outputs }), inMemoryParameters(new Map()));
    const feeds = { ...values, weigh: draw([1, 3]), ...Object.fromEntries(weights) };
    const analytic = await session.run(feeds);
    for (const name of names) {
      const own = weights.get(name) as TensorData<"float32">;
      const gradient = analytic[`g.${name}`];
      expect(gradient?.shape, name).toEqual([...own.shape]);
      for (const at of [0, Math.floor(own.data.length / 2), own.data.length - 1]) {
        const step = 1e-3;
        const losses: number[] = [];
        for (const offset of [step, -step]) {
          const moved = own.data.slice();
          moved[at] += offset;
          const shifted = { ...feeds, [name]: float32(own.shape, moved) };
          losses.push(Number((await session.run(shifted, { fetch: ["loss"] })).loss.data[0]));
        }
        const numeric = (losses[0] - losses[1]) / (2 * step);
        expect(Math.abs(numeric - Number(gradient.data[at])), `${name} ${at}`).toBeLessThan(0.02);
      }
    }
    await session.close();
  });
});

describe("text slots", () => {
  test("that all views share are what every view would compute of them", async () => {
    const { layer } = granularityRouterParams(new ParameterScope(), small);
    const text = input("text", "float32", [3, 1, 16]);
    const numHeads = granularityRouterHeads;
    const copies = input("copies", "float32", [3, 5, 16]);
    const value = draw([3, 16]);
    const everywhere = Array.from({ length: 3 }, (_, slot) =>
      Array.from({ length: 5 }, () => Array.from(value.data.slice(16 * slot, 16 * (slot + 1)))),
    );
    const { once, inViews } = await runner.compute(
      {
        once: postNormLayer(layer, text, { numHeads, seesOnlyItself: true }),
        inViews: postNormLayer(layer, copies, { numHeads }),
      },
      { text: float32([3, 1, 16], value.data), copies: float32([3, 5, 16], everywhere.flat(2)) },
      weightsOf(small),
    );
    for (let slot = 0; slot < 3; slot += 1) {
      for (let view = 0; view < 5; view += 1) {
        const own = inViews.data.slice((slot * 5 + view) * 16, (slot * 5 + view + 1) * 16);
        expectClose(float32([16], Array.from(own, Number)), {
          shape: [16],
          data: Array.from(once.data.slice(slot * 16, (slot + 1) * 16), Number),
        });
      }
    }
  });
});

describe("a router that does not look at the instruction", () => {
  test.each(["views", "tokens"] as const)(
    "attends over %s as one whose text neither counts nor votes",
    async (attention) => {
      const [without, withText] = [0, 3].map((filteredTokens) =>
        configOf([1, 4, 16], { attention, filteredTokens }),
      );
      const { views, text } = sample();
      const weights = weightsOf(withText);
      const voter = Array.from(weights.get("voter")?.data ?? [], Number);
      const visual = voter.slice(0, numRouterSlots(without));
      const logits = await logitsOf(
        withText,
        { views, text, textMask: bool([1, 6], new Array(6).fill(false)) },
        new Map([...weights, ["voter", float32([voter.length, 1], [...visual, 0, 0, 0])]]),
      );
      const alone = await logitsOf(
        without,
        { views },
        new Map([...weights, ["voter", float32([visual.length, 1], visual)]]),
      );
      expectClose(alone, { shape: [1, 3], data: Array.from(logits.data, Number) });
    },
  );
});

describe("a router over other tokens", () => {
  const routed = async (grid: TokenGrid, counts: readonly number[], numViews: number) => {
    const config = configOf(counts, { grid });
    const tokens = grid.rows * grid.columns;
    const logits = await logitsOf(config, {
      views: draw([1, numViews, tokens, 16]),
      text: draw([1, 4, 16]),
    });
    expect(logits.shape).toEqual([1, counts.length]);
    expect(logits.data.every((value) => Number.isFinite(Number(value)))).toBe(true);
  };

  test("chooses among the tokens of one view, of oblong slices, and of a compressor's grid", async () => {
    await routed({ rows: 4, columns: 4 }, [1, 4, 16], 1); // LLaVA-1.5: the whole image alone
    await routed({ rows: 4, columns: 6 }, [6, 24], 7); // slices of one size, wider than high
    await routed({ rows: 2, columns: 2 }, [1, 4], 1); // LLaVA-Mini's compressed tokens at C = 2
  });

  test("makes no sense where there is nothing to choose, or where the slots are not the same", () => {
    const only = configOf([1], { grid: { rows: 1, columns: 1 } }); // LLaVA-Mini at C = 1
    expect(() => granularityRouterParams(new ParameterScope(), only)).toThrow(OptionsError);
    expect(() => granularityRouterParams(new ParameterScope(), only)).toThrow("two granularities");
    expect(() => planGranularities([2, 4], { rows: 3, columns: 5 })).toThrow(OptionsError);
    const lessThanNoText = { ...small, filteredTokens: -1 };
    expect(() => granularityRouterParams(new ParameterScope(), lessThanNoText)).toThrow(
      OptionsError,
    );
    const narrow = { ...small, width: 12 };
    expect(() => granularityRouterParams(new ParameterScope(), narrow)).toThrow(OptionsError);
    // Features before the projector are of another width than the text: no cosine.
    const params = granularityRouterParams(new ParameterScope(), small);
    expect(() =>
      granularityRouter(
        params,
        {
          views: input("views", "float32", [1, 3, 16, 24]),
          text: input("text", "float32", [1, 4, 16]),
        },
        small,
      ),
    ).toThrow(ShapeError);
    // Slices of another grid have other slots than the voter weighs.
    expect(() =>
      granularityRouter(
        params,
        {
          views: input("views", "float32", [1, 3, 24, 16]),
          text: input("text", "float32", [1, 4, 16]),
        },
        small,
      ),
    ).toThrow(ShapeError);
  });
});
