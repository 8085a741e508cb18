import { listParameters, type ParameterTree } from "../../src/nn/parameter-scope.js";
import { elementCount, type TensorData } from "../../src/tensor-data.js";
import { randomTensors } from "./graph-runner.js";

/** Random values of all parameters of a model; weights of norms around 1. */
export const drawParameters = (params: ParameterTree, seed: number): Map<string, TensorData> => {
  const random = randomTensors(seed);
  const drawn = new Map<string, TensorData>();
  for (const [name, { shape }] of listParameters(params)) {
    const sides = shape.map(Number);
    const value = random(sides, 1 / Math.sqrt(sides[sides.length - 1]));
    if (sides.length === 1 && /[nN]orm\d?\.weight$/.test(name)) {
      for (let index = 0; index < elementCount(sides); index += 1) value.data[index] += 1;
    }
    drawn.set(name, value);
  }
  return drawn;
};
