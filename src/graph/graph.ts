import { GraphError } from "../errors.js";
import { formatShape, sameShape } from "./shape.js";
import type { Operation, Tensor } from "./tensor.js";
import { listOperations } from "./walk.js";

/**
 * A closed graph: the outputs asked for and everything they need. Inputs and parameters are found by
 * walking back from the outputs; operations stand in an order in which they can be computed.
 */
export type Graph = {
  readonly name: string;
  readonly outputs: ReadonlyMap<string, Tensor>;
  readonly inputs: ReadonlyMap<string, Tensor>;
  readonly parameters: ReadonlyMap<string, Tensor>;
  readonly operations: readonly Operation[];
};

/** Two tensors may share a source name only if they are declared the same. */
const register = (table: Map<string, Tensor>, name: string, tensor: Tensor, what: string): void => {
  const known = table.get(name);
  if (known === undefined) {
    table.set(name, tensor);
  } else if (known.dtype !== tensor.dtype || !sameShape(known.shape, tensor.shape)) {
    throw new GraphError(
      `createGraph: ${what} "${name}" is declared twice, as ${known.dtype}${formatShape(known.shape)} ` +
        `and ${tensor.dtype}${formatShape(tensor.shape)}; give one of them another name`,
    );
  }
};

/** Closes a graph over `outputs` (name → tensor). Throws `GraphError` for names used twice. */
export const createGraph = (
  graphName: string,
  outputs: Readonly<Record<string, Tensor>>,
): Graph => {
  const inputs = new Map<string, Tensor>();
  const parameters = new Map<string, Tensor>();
  const operations = listOperations(Object.values(outputs), {
    onLeaf: (tensor) => {
      const { source } = tensor;
      if (source.kind === "input") register(inputs, source.name, tensor, "input");
      if (source.kind === "parameter") register(parameters, source.name, tensor, "parameter");
    },
  });
  for (const name of Object.keys(outputs)) {
    // In ONNX they are one name space; an output of that name would be the input itself.
    if (inputs.has(name) || parameters.has(name)) {
      throw new GraphError(
        `createGraph: output "${name}" of "${graphName}" has the name of an input or parameter; give the output another name`,
      );
    }
  }
  return {
    name: graphName,
    outputs: new Map(Object.entries(outputs)),
    inputs,
    parameters,
    operations,
  };
};
