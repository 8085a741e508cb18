/** Recipes of training runs: YAML (or JSON, which is YAML too) to typed settings, and back to a plain value. */
import { type Document, LineCounter, parseDocument } from "yaml";
import { z } from "zod";
import { RecipeError } from "../errors.js";
import { type Recipe, recipeSchema } from "./recipe-schema.js";
import type { JsonValue } from "./trainable.js";

export type { Recipe, StageRecipe } from "./recipe-schema.js";

type Path = readonly PropertyKey[];

const inner = (schema: z.core.$ZodType): z.core.$ZodType =>
  schema instanceof z.ZodOptional ||
  schema instanceof z.ZodDefault ||
  schema instanceof z.ZodPrefault
    ? inner(schema.def.innerType)
    : schema;

/** The keys that an object at `path` may have. */
const validKeys = (path: Path): string[] => {
  let schema: z.core.$ZodType = recipeSchema;
  for (const key of path) {
    if (schema instanceof z.ZodArray) schema = inner(schema.def.element);
    else if (schema instanceof z.ZodObject) schema = inner(schema.def.shape[String(key)]);
  }
  return schema instanceof z.ZodObject ? Object.keys(schema.def.shape) : [];
};

const pathText = (path: Path): string =>
  path.reduce<string>(
    (text, key) =>
      typeof key === "number" ? `${text}[${key}]` : `${text}${text && "."}${String(key)}`,
    "",
  );

/** `file:line` of what stands at `path`, or of the closest thing above it. */
const placeOf = (document: Document, lines: LineCounter, file: string, path: Path): string => {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true);
    if (typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range)) {
      return `${file}:${lines.linePos(Number(node.range[0])).line}`;
    }
  }
  return file;
};

/**
 * Reads a recipe. `file` names it in messages. Throws `RecipeError` for what is no YAML, for every
 * unknown key (with the keys that are possible there) and for values outside their range, each with
 * its line.
 */
export const parseRecipe = (text: string, file: string): Recipe => {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [syntax] = document.errors;
  if (syntax !== undefined) {
    throw new RecipeError(
      `parseRecipe: ${file} must be YAML, got ${syntax.message.split("\n")[0]} Correct the file.`,
      { cause: syntax },
    );
  }
  let value: unknown;
  try {
    value = document.toJS();
  } catch (cause) {
    // Too many aliases, or a reference to an anchor that is not there.
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new RecipeError(`parseRecipe: ${file} must be plain settings, got ${reason}`, { cause });
  }
  const parsed = recipeSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.flatMap((issue) => {
    if (issue.code === "unrecognized_keys") {
      const where = pathText(issue.path) || "a recipe";
      return issue.keys.map(
        (key) =>
          `${placeOf(document, lines, file, [...issue.path, key])}: unknown key "${key}" in ${where}; valid keys are ${validKeys(issue.path).join(", ")}`,
      );
    }
    const place = placeOf(document, lines, file, issue.path);
    return [`${place}: ${pathText(issue.path) || "the recipe"}: ${issue.message}`];
  });
  throw new RecipeError(`parseRecipe: ${problems.join("\n")}`);
};

/**
 * What a resumed run must have in common with its start, as JSON: everything but how often it looks
 * at itself and saves, and whether it computes things twice to save memory.
 */
export const recipeIdentity = (recipe: Recipe): JsonValue => {
  const { description: _, ...rest } = recipe;
  const stages = recipe.stages.map(
    ({
      checkpoint: _checkpoint,
      validation: _validation,
      gradientCheckpointing: _gradientCheckpointing,
      ...stage
    }) => stage,
  );
  return JSON.parse(JSON.stringify({ ...rest, stages })) as JsonValue;
};

/** Dotted paths at which two plain values differ. */
export const findDifferences = (left: JsonValue, right: JsonValue, path: Path = []): string[] => {
  const isPlain = (value: JsonValue): value is { readonly [key: string]: JsonValue } =>
    typeof value === "object" && value !== null;
  if (!isPlain(left) || !isPlain(right) || Array.isArray(left) !== Array.isArray(right)) {
    return left === right ? [] : [pathText(path)];
  }
  const keys = [...new Set([...Object.keys(left), ...Object.keys(right)])];
  return keys.flatMap((key) => {
    const at = [...path, Array.isArray(left) ? Number(key) : key];
    if (!(key in left) || !(key in right)) return [pathText(at)];
    return findDifferences(left[key], right[key], at);
  });
};
