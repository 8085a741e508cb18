/**
 * Rename tables between our parameter names and the names of published checkpoints. A table is a list of rules with an
 * inverse, so that what is trained here is saved under the published names. Checkpoint names appear nowhere else.
 */
import { OptionsError } from "../errors.js";

/**
 * `[internal, published]`, both dotted names in which a whole segment may be a wildcard such as `{i}`, standing for an
 * index. A rule renames the exact name and everything below it:
 * `["layers.{i}.query", "h.{i}.q_proj"]` sends `layers.3.query.weight` to `h.3.q_proj.weight`. The empty name stands
 * for the root, so `["", "model"]` puts everything under `model`.
 */
export type RenameRule = readonly [internal: string, published: string];

/** A checked list of rules. `toPublished` and `toInternal` undo each other; names that no rule covers give undefined. */
export type RenameTable = {
  readonly rules: readonly RenameRule[];
  readonly toPublished: (internal: string) => string | undefined;
  readonly toInternal: (published: string) => string | undefined;
  /** The same table inside a larger model: every rule moves below the two prefixes ("" for none). */
  readonly under: (internalPrefix: string, publishedPrefix: string) => RenameTable;
};

type Template = readonly string[];

const index = /^(0|[1-9]\d*)$/;
const wildcard = /^\{[a-z]+\}$/;
const isWildcard = (segment: string): boolean => wildcard.test(segment);

const split = (name: string): string[] => (name === "" ? [] : name.split("."));

const parseTemplate = (text: string, rule: RenameRule): Template => {
  const template = split(text);
  const bad = template.find(
    (segment) => segment === "" || (/[{}]/.test(segment) && !isWildcard(segment)),
  );
  if (bad !== undefined)
    throw new OptionsError(
      `createRenameTable: the segments of a name must be plain or a whole wildcard like {i}, got "${bad}" in ["${rule[0]}", "${rule[1]}"]. Split it with dots.`,
    );
  return template;
};

const checkWildcards = (internal: Template, published: Template, rule: RenameRule): void => {
  const names = (template: Template) => template.filter(isWildcard);
  for (const side of [internal, published]) {
    const repeated = names(side).find((name, at, all) => all.indexOf(name) !== at);
    if (repeated !== undefined)
      throw new OptionsError(
        `createRenameTable: a wildcard must occur once per side, got ${repeated} twice in ["${rule[0]}", "${rule[1]}"]. Use another letter.`,
      );
  }
  if (names(internal).sort().join() !== names(published).sort().join())
    throw new OptionsError(
      `createRenameTable: both sides of a rule must have the same wildcards, got ["${rule[0]}", "${rule[1]}"]. Without them there is no inverse; name them on both sides.`,
    );
};

/** Whether some name lies at or below both templates. */
const overlap = (a: Template, b: Template): boolean => {
  const fits = (one: string, other: string) =>
    one === other ||
    (isWildcard(one) && (isWildcard(other) || index.test(other))) ||
    (isWildcard(other) && index.test(one));
  const shared = Math.min(a.length, b.length);
  return a.slice(0, shared).every((segment, at) => fits(segment, b[at]));
};

const checkUnambiguous = (templates: readonly Template[], side: string): void => {
  for (const [at, one] of templates.entries())
    for (const other of templates.slice(at + 1))
      if (overlap(one, other))
        throw new OptionsError(
          `createRenameTable: every ${side} name must be covered by at most one rule, got "${one.join(".")}" and "${other.join(".")}". Make the rules disjoint.`,
        );
};

const rename = (name: string, from: Template, to: Template): string | undefined => {
  const segments = split(name);
  if (segments.length < from.length) return undefined;
  const values = new Map<string, string>();
  for (const [at, pattern] of from.entries()) {
    const segment = segments[at];
    if (isWildcard(pattern) && index.test(segment)) values.set(pattern, segment);
    else if (pattern !== segment) return undefined;
  }
  const renamed = to.map((segment) => values.get(segment) ?? segment);
  return [...renamed, ...segments.slice(from.length)].join(".");
};

const below = (prefix: string, name: string): string =>
  prefix === "" || name === "" ? prefix + name : `${prefix}.${name}`;

/**
 * Checks the rules and makes a table of them.
 *
 * @throws OptionsError where a name could be covered by two rules, on either side, or a rule has no inverse.
 */
export const createRenameTable = (rules: readonly RenameRule[]): RenameTable => {
  const parsed = rules.map((rule) => {
    const [internal, published] = [parseTemplate(rule[0], rule), parseTemplate(rule[1], rule)];
    checkWildcards(internal, published, rule);
    return { internal, published };
  });
  checkUnambiguous(
    parsed.map(({ internal }) => internal),
    "internal",
  );
  checkUnambiguous(
    parsed.map(({ published }) => published),
    "published",
  );
  const firstOf = (results: Iterable<string | undefined>) => {
    for (const result of results) if (result !== undefined) return result;
    return undefined;
  };
  return {
    rules,
    toPublished: (name) =>
      firstOf(parsed.map(({ internal, published }) => rename(name, internal, published))),
    toInternal: (name) =>
      firstOf(parsed.map(({ internal, published }) => rename(name, published, internal))),
    under: (internalPrefix, publishedPrefix) =>
      createRenameTable(
        rules.map(([internal, published]) => [
          below(internalPrefix, internal),
          below(publishedPrefix, published),
        ]),
      ),
  };
};

/**
 * One table with the rules of all `tables`, as a system composes those of its parts.
 *
 * @throws OptionsError where the parts overlap.
 */
export const joinRenameTables = (...tables: readonly RenameTable[]): RenameTable =>
  createRenameTable(tables.flatMap(({ rules }) => rules));
