import { ShapeError } from "../../errors.js";
import { apply, type Operator } from "../operator.js";
import { formatShape, productOfDims } from "../shape.js";
import type { Tensor } from "../tensor.js";

const topIndicesOperator: Operator<{ readonly count: number }> = {
  name: "top-indices",
  shape: ([x], { count }) => {
    const side = x.shape[x.rank - 1];
    if (x.rank < 1 || count < 1 || (typeof side === "number" && side < count)) {
      throw new ShapeError(
        `topIndices: needs at least ${count} elements in the last side, got ${formatShape(x.shape)}`,
      );
    }
    return [{ dtype: "int64", shape: [...x.shape.slice(0, -1), count] }];
  },
  lower: (lowering, outputs, { inputs: [x], attributes: { count } }) => {
    lowering.emit("TopK", [lowering.name(x), lowering.ints([count])], {
      outputs: [`${outputs[0]}.values`, ...outputs],
      attributes: { axis: { int: -1 }, largest: { int: 1 }, sorted: { int: 1 } },
    });
  },
  cost: ({ inputs: [x] }) => ({ elementwise: productOfDims(x.shape) }),
};

/**
 * Places of the `count` largest elements of the last side, largest first, equal ones in order.
 * x [..., S] → [..., count] int64. A choice has no gradient; what is gathered by it has.
 */
export const topIndices = (x: Tensor, count: number): Tensor =>
  apply(topIndicesOperator, [x], { count })[0];
