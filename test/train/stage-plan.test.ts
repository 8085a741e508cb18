import { describe, expect, it } from "vitest";
import { createGraph, input, linear, zeros } from "../../src/graph/index.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import { createProgressLines, formatDuration } from "../../src/train/progress-line.js";
import type { RunEvent } from "../../src/train/run-log.js";
import { planStage } from "../../src/train/stage-plan.js";
import { tinyRecipe } from "../support/tiny-run.js";

describe("a stage's plan", () => {
  const [, stage] = tinyRecipe([10, 24]).stages;
  // [8, 16] times [16, 32]: 4096 multiply-adds, an output of 1 kB.
  const graph = createGraph("step", {
    y: linear(
      input("x", "float32", [8, 16]),
      new ParameterScope(["p"]).parameter("weight", [32, 16], zeros),
    ),
  });
  const description = {
    groups: [
      { name: "norms", parameters: [{ name: "a", shape: [10] }] },
      {
        name: "rest",
        parameters: [
          { name: "b", shape: [10, 9] },
          { name: "c", shape: [] },
        ],
      },
    ],
    steps: [{ graph, tokens: 48 }],
    frozenBytes: 5000,
  };

  it("counts parameters per group, steps, tokens, operations and time", () => {
    const plan = planStage({ ...stage, accumulation: 3 }, description, 1e6);
    expect(plan.groups).toEqual([
      { name: "norms", tensors: 1, parameters: 10, learningRate: 1e-3, weightDecay: 0 },
      { name: "rest", tensors: 2, parameters: 91, learningRate: 5e-3, weightDecay: 0.01 },
    ]);
    expect(plan).toMatchObject({
      parameters: 101,
      steps: 24,
      samplesPerStep: 12,
      tokensPerStep: 144,
      flopsPerStep: 3 * 2 * 4096,
    });
    expect(plan.seconds).toBeCloseTo(24 * plan.secondsPerStep, 12);
    expect(plan.secondsPerStep).toBeGreaterThan(plan.flopsPerStep / 1e6);
  });

  it("adds up memory: state twice, frozen weights, activations of every shape", () => {
    const { memory } = planStage(stage, description, 1e6);
    expect(memory.stateBytes).toBe(2 * 3 * 4 * 101);
    expect(memory.frozenBytes).toBe(5000);
    expect(memory.totalBytes).toBe(memory.stateBytes + 5000 + memory.activationBytes);
    const twice = planStage(
      stage,
      { ...description, steps: [...description.steps, ...description.steps] },
      1e6,
    );
    expect(twice.memory.activationBytes).toBeGreaterThan(1.9 * memory.activationBytes);
  });
});

describe("progress", () => {
  const step = (stageStep: number, stepMs: number): RunEvent => ({
    event: "step",
    time: "",
    stage: "tuning",
    stageStep,
    stageSteps: 10,
    loss: 1.23456,
    gradientNorm: 1,
    rates: {},
    tokens: 100,
    stepMs,
    dataMs: 0,
    step: stageStep,
  });

  it("shows rate and time left, not counting the step that makes the graph ready", () => {
    const line = createProgressLines();
    line(step(1, 60_000));
    expect(line(step(2, 500))).toBe(
      "tuning [####----------------] 2/10  loss 1.2346  2.0 steps/s  200 tokens/s  0:04 left",
    );
    expect(line(step(10, 500))).toContain("[####################] 10/10");
    expect(line({ event: "end", time: "", step: 10 })).toBeUndefined();
  });

  it("writes durations as clocks do", () => {
    expect([0, 9.6, 61, 3599.7, 3725, 360_000].map(formatDuration)).toEqual([
      "0:00",
      "0:10",
      "1:01",
      "1:00:00",
      "1:02:05",
      "100:00:00",
    ]);
  });
});
