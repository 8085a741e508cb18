/**
 * Patterns over dotted parameter names: `*` is any text within one part, `**` any number of whole
 * parts, `{a,b}` either of two. A leading `!` takes names out again.
 */
import { RecipeError } from "../errors.js";

/** Whether a row of name parts fits a pattern. */
type PartMatcher = (parts: readonly string[]) => boolean;

const literally = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** One part as an expression: `*` and `{a,b}` in it, all else as it stands. */
const partExpression = (part: string, pattern: string): RegExp => {
  const pieces = part.split(/(\*|\{[^{}]*\})/).map((piece) => {
    if (piece === "*") return ".*";
    if (piece.startsWith("{") && piece.endsWith("}")) {
      return `(?:${piece.slice(1, -1).split(",").map(literally).join("|")})`;
    }
    if (/[{}]/.test(piece)) {
      throw new RecipeError(
        `parsePattern: brackets must be closed within one part of a name, got "${pattern}"; write for example "layers.{0,1}.**"`,
      );
    }
    return literally(piece);
  });
  return new RegExp(`^${pieces.join("")}$`);
};

const matchParts = (expected: readonly (RegExp | "**")[], parts: readonly string[]): boolean => {
  const [first, ...rest] = expected;
  if (first === undefined) return parts.length === 0;
  if (first !== "**") {
    return parts.length > 0 && first.test(parts[0]) && matchParts(rest, parts.slice(1));
  }
  return Array.from({ length: parts.length + 1 }, (_, taken) => parts.slice(taken)).some((left) =>
    matchParts(rest, left),
  );
};

const parsePattern = (pattern: string): PartMatcher => {
  const parts = pattern.split(".");
  if (parts.some((part) => part === "" || (part.includes("**") && part !== "**"))) {
    throw new RecipeError(
      `parsePattern: a pattern is parts joined by dots, "**" a part of its own, got "${pattern}"; write for example "language.layers.**"`,
    );
  }
  const expected = parts.map((part) => (part === "**" ? part : partExpression(part, pattern)));
  return (name) => matchParts(expected, name);
};

/**
 * The names that `patterns` choose, in the order of `names`; each pattern adds to or, with `!`, takes
 * from what those before it chose. Throws `RecipeError` for a pattern that fits no name at all: it is
 * misspelt, and what it was meant for would train or stay frozen silently.
 */
export const selectNames = (
  patterns: readonly string[],
  names: readonly string[],
  where: string,
): string[] => {
  const chosen = new Set<string>();
  for (const pattern of patterns) {
    const removes = pattern.startsWith("!");
    const fits = parsePattern(removes ? pattern.slice(1) : pattern);
    const fitting = names.filter((name) => fits(name.split(".")));
    if (fitting.length === 0) {
      const roots = [...new Set(names.map((name) => name.split(".")[0]))];
      throw new RecipeError(
        `${where}: a pattern must fit a parameter, got "${pattern}", which fits none of ${names.length}; names begin with ${roots.join(", ")}`,
      );
    }
    for (const name of fitting) {
      if (removes) chosen.delete(name);
      else chosen.add(name);
    }
  }
  return names.filter((name) => chosen.has(name));
};

export type GroupPatterns = {
  readonly name: string;
  readonly parameters: readonly string[];
};

/**
 * Shares the trained parameters out among the groups: each goes to the first group that chooses it.
 * Throws `RecipeError` for a parameter that no group takes and for a group that gets none.
 */
export const planGroups = <Group extends GroupPatterns>(
  trained: readonly string[],
  groups: readonly Group[],
): (Omit<Group, "parameters"> & { readonly parameters: readonly string[] })[] => {
  const left = new Set(trained);
  const planned = groups.map((group) => {
    const parameters = selectNames(group.parameters, trained, `group "${group.name}"`).filter(
      (name) => left.delete(name),
    );
    if (parameters.length === 0) {
      throw new RecipeError(
        `planGroups: group "${group.name}" must get a parameter, got none, because earlier groups take them all; move it to the front or remove it`,
      );
    }
    return { ...group, parameters };
  });
  if (left.size > 0) {
    const [first] = left;
    throw new RecipeError(
      `planGroups: every trained parameter needs a group, got ${left.size} without one, the first is "${first}"; add a last group with the pattern "**"`,
    );
  }
  return planned;
};
