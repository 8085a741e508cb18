import { WeightsMismatchError } from "../errors.js";
import { elementCount } from "../tensor-data.js";
import type { RenameTable } from "./rename.js";
import type { TensorEntry } from "./safetensors.js";

/**
 * The shape a parameter must have; or, with `viewOf`, that a tensor of the shape `viewOf` is stored under its name and
 * is read as `shape`, element order unchanged (a patch convolution that we use as a matrix).
 */
export type ExpectedWeight =
  | readonly number[]
  | { readonly shape: readonly number[]; readonly viewOf: readonly number[] };

/** A found tensor: an entry by itself, or as model folders hold it, with its file. */
export type FoundWeight = TensorEntry | { readonly file: string; readonly entry: TensorEntry };

const listed = 10;
const summary = (what: string, names: readonly string[]): string => {
  if (names.length === 0) return "";
  const rest = names.length > listed ? `, and ${names.length - listed} more` : "";
  return `\n  ${what} (${names.length}): ${names.slice(0, listed).join(", ")}${rest}`;
};

const storedShape = (expected: ExpectedWeight): readonly number[] =>
  "viewOf" in expected ? expected.viewOf : expected;

const shapeText = (expected: ExpectedWeight): string =>
  "viewOf" in expected ? `[${expected.viewOf}], read as [${expected.shape}]` : `[${expected}]`;

const isWrong = (expected: ExpectedWeight, found: readonly number[]): boolean => {
  const stored = storedShape(expected);
  const differs =
    stored.length !== found.length || stored.some((side, axis) => side !== found[axis]);
  return differs || ("viewOf" in expected && elementCount(expected.shape) !== elementCount(found));
};

/**
 * Pairs every parameter of a model (internal name to shape) with the stored tensor (published name) that holds it.
 * `ignore`: published names that may be present and unused. Nothing else is tolerated.
 *
 * @throws WeightsMismatchError listing every missing, unexpected and wrongly shaped tensor, by published name.
 */
export const matchWeights = <Found extends FoundWeight>(
  expected: ReadonlyMap<string, ExpectedWeight>,
  found: ReadonlyMap<string, Found>,
  renames: RenameTable,
  { ignore = [] }: { ignore?: readonly RegExp[] } = {},
): Map<string, Found> => {
  const matched = new Map<string, Found>();
  const used = new Set<string>();
  const missing: string[] = [];
  const wrongShape: string[] = [];
  for (const [internal, weight] of expected) {
    const published = renames.toPublished(internal);
    const tensor = published === undefined ? undefined : found.get(published);
    if (published === undefined) missing.push(`${internal} (no rename rule)`);
    else if (tensor === undefined) missing.push(published);
    else {
      used.add(published);
      const { shape } = "entry" in tensor ? tensor.entry : tensor;
      if (isWrong(weight, shape))
        wrongShape.push(`${published} (expected ${shapeText(weight)}, got [${shape}])`);
      else matched.set(internal, tensor);
    }
  }
  // `search` ignores the position that a sticky or global expression remembers between tests.
  const ignored = (name: string) => ignore.some((pattern) => name.search(pattern) >= 0);
  const unexpected = [...found.keys()].filter((name) => !used.has(name) && !ignored(name));
  if (missing.length + unexpected.length + wrongShape.length > 0)
    throw new WeightsMismatchError(
      `matchWeights: the file must hold exactly the model's tensors, got ${missing.length} missing, ${unexpected.length} unexpected, ${wrongShape.length} of a wrong shape.${summary("missing", missing)}${summary("unexpected", unexpected)}${summary("wrong shape", wrongShape)}\nCheck that config.json belongs to these weights.`,
      missing,
      unexpected,
      wrongShape,
    );
  return matched;
};
