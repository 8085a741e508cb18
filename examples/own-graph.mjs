// The engine by itself: write a function over symbolic tensors, differentiate it, run both.
//   node examples/own-graph.mjs
import { createGraph, grad, input, linear, multiply, subtract, sum } from "saccade/graph";
import { createNodeEngine, float32 } from "saccade/node";

// A linear model's squared error over a batch of any size N.
const x = input("x", "float32", ["N", 3]);
const y = input("y", "float32", ["N", 1]);
const weight = input("weight", "float32", [1, 3]);
const error = subtract(linear(x, weight), y);
const loss = sum(multiply(error, error), [0, 1]);
const [gradient] = grad(loss, [weight]);

const engine = createNodeEngine();
const session = await engine.open(createGraph("least-squares", { loss, gradient }), () => {
  throw new Error("this graph has no parameters");
});
const truth = [2, -1, 0.5];
const rows = [
  [1, 0, 0],
  [0, 1, 0],
  [0, 0, 1],
  [1, 1, 1],
];
const feeds = {
  x: float32([4, 3], rows.flat()),
  y: float32(
    [4, 1],
    rows.map((row) => row.reduce((acc, value, i) => acc + value * truth[i], 0)),
  ),
};
let values = [0, 0, 0];
for (let step = 0; step <= 60; step += 1) {
  const result = await session.run({ ...feeds, weight: float32([1, 3], values) });
  if (step % 20 === 0) console.log(`step ${step}: loss ${result.loss.data[0].toFixed(6)}`);
  values = values.map((value, index) => value - 0.1 * result.gradient.data[index]);
}
console.log(`found ${values.map((value) => value.toFixed(3)).join(", ")}; the truth is ${truth}`);
if (Math.abs(values[0] - truth[0]) > 1e-2) throw new Error("not found");
await engine.close();
