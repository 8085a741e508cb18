/** Checks records against schemas, with errors of one line. */
import { z } from "zod";
import { PromptError, RecordError } from "../errors.js";
import { type ChatMessage, checkMessages } from "../text/chat-message.js";
import type { MediaReference, RecordPlace } from "./conversation-sample.js";
import { resolveMediaPath } from "./media-path.js";
import type { UntaggedMedia } from "./placed-media.js";

export type RecordOptions = {
  /** The folder that media lie in; records with local media are bad without it. */
  readonly mediaRoot?: string;
  readonly untaggedMedia?: UntaggedMedia;
};

const show = (value: unknown): string => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
};

const valueAt = (value: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (inner, key) =>
      typeof inner === "object" && inner !== null
        ? (inner as Record<PropertyKey, unknown>)[key]
        : undefined,
    value,
  );

/**
 * `value` as `schema` says. `format` names the format in the message.
 *
 * @throws RecordError with the path of the first field that does not fit.
 */
export const parseFields = <T>(schema: z.ZodType<T>, value: unknown, format: string): T => {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [{ path, message }] = parsed.error.issues;
  const where = path.length === 0 ? "the record" : path.map(String).join(".");
  throw new RecordError(
    `parseRecord: ${where} must be as ${format} has it (${message}), got ${show(valueAt(value, path))}. Repair the record, or choose its format.`,
  );
};

/** A file name, or what image columns of tables hold. */
export const mediumSchema = z.union([
  z.string(),
  z.instanceof(Uint8Array),
  z.object({
    path: z.string().nullish(),
    bytes: z.instanceof(Uint8Array).nullish(),
  }),
]);
export const mediaSchema = z.union([mediumSchema, z.array(mediumSchema)]).nullish();

/** @throws RecordError for media that are nowhere, or videos as bytes. */
export const parseMedia = (
  field: z.infer<typeof mediaSchema>,
  type: "image" | "video",
  root: string | undefined,
): MediaReference[] =>
  [field ?? []].flat().map((medium): MediaReference => {
    if (typeof medium === "string") return { type, path: resolveMediaPath(root, medium) };
    const bytes = medium instanceof Uint8Array ? medium : medium.bytes;
    if (bytes && type === "image") return { type, bytes };
    if ("path" in medium && medium.path) return { type, path: resolveMediaPath(root, medium.path) };
    throw new RecordError(
      `parseRecord: ${type === "image" ? "an image must have bytes or a path" : "a video must have a path"}, got ${show(Object.keys(medium))}. Add it.`,
    );
  });

const roles: ReadonlyMap<string, ChatMessage["role"]> = new Map([
  ["system", "system"],
  ["developer", "system"],
  ["human", "user"],
  ["user", "user"],
  ["gpt", "assistant"],
  ["assistant", "assistant"],
]);

/** @throws RecordError for a role of tools, or an unknown one. */
export const parseRole = (name: string): ChatMessage["role"] => {
  const role = roles.get(name);
  if (role !== undefined) return role;
  throw new RecordError(
    `parseRecord: a role must be one of ${[...roles.keys()].join(", ")}, got ${show(name)}. Leave such turns out.`,
  );
};

/** @throws RecordError where no template could render the messages. */
export const checkConversation = (messages: readonly ChatMessage[]): void => {
  try {
    checkMessages(messages, []);
  } catch (cause) {
    if (!(cause instanceof PromptError)) throw cause;
    throw new RecordError(cause.message, { cause });
  }
};

/** The record's own id, or its place. */
export const idOf = (id: string | number | null | undefined, place: RecordPlace): string => {
  if (id !== undefined && id !== null) return String(id);
  const name = place.file.split(/[\\/]/).at(-1) ?? place.file;
  return `${name}:${place.line ?? place.row ?? 0}`;
};
