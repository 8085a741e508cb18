import { type Initializer, input, type Shape, Tensor } from "../graph/index.js";

/** What an adapter adds to a layer: two matrices of `rank`, times `scale`. */
export type AdapterShape = { readonly rank: number; readonly scale: number };

/** Which layers, by their full name, have an adapter. */
export type AdapterOf = (layerName: string) => AdapterShape | undefined;

/**
 * Where a model declares its parameters: name, shape and first value in one place. Names are dotted
 * paths of our own; published checkpoint names appear only in the rename tables.
 */
export class ParameterScope {
  /**
   * `isFed` says which parameters are fed with every run, because they change (training); all others
   * are part of the graph. A fed parameter's input has the parameter's name. `adapterOf`: linear
   * layers that are declared with an adapter.
   */
  constructor(
    private readonly path: readonly (string | number)[] = [],
    private readonly isFed: (name: string) => boolean = () => false,
    private readonly adapterOf: AdapterOf = () => undefined,
  ) {}

  /** The adapter of the layer whose scope this is. */
  get adapter(): AdapterShape | undefined {
    return this.adapterOf(this.path.join("."));
  }

  /** The scope below this one. */
  child(...path: readonly (string | number)[]): ParameterScope {
    return new ParameterScope([...this.path, ...path], this.isFed, this.adapterOf);
  }

  /** Declares one float32 parameter. */
  parameter(name: string, shape: Shape, initializer: Initializer): Tensor {
    const fullName = [...this.path, name].join(".");
    if (this.isFed(fullName)) return input(fullName, "float32", shape);
    return new Tensor({ kind: "parameter", name: fullName, initializer }, "float32", shape);
  }

  /** `count` scopes `name.0`, `name.1`, … mapped through `declare`. */
  list<Params>(
    name: string,
    count: number,
    declare: (scope: ParameterScope, index: number) => Params,
  ): Params[] {
    return Array.from({ length: count }, (_, index) => declare(this.child(name, index), index));
  }
}

/** Any nesting of parameters. */
export type ParameterTree =
  | Tensor
  | readonly ParameterTree[]
  | { readonly [key: string]: ParameterTree | undefined };

/** The parameters of a tree by their full names. */
export const listParameters = (tree: ParameterTree | undefined): Map<string, Tensor> => {
  const found = new Map<string, Tensor>();
  const visit = (node: ParameterTree | undefined): void => {
    if (node === undefined) return;
    if (node instanceof Tensor) {
      if (node.source.kind === "parameter") found.set(node.source.name, node);
      return;
    }
    for (const child of Object.values(node)) visit(child);
  };
  visit(tree);
  return found;
};
