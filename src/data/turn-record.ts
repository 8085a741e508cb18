/**
 * Records whose turns, images and videos are fields of their own: LLaVA's JSON, ShareGPT as LLaMA-Factory reads it,
 * and `messages` beside `images` as ms-swift and TRL write them. They differ in names only.
 */
import { z } from "zod";
import { RecordError } from "../errors.js";
import type { ContentPart } from "../text/chat-message.js";
import type { ConversationSample, RecordPlace } from "./conversation-sample.js";
import { placeMedia, type RecordTurn } from "./placed-media.js";
import {
  checkConversation,
  idOf,
  mediaSchema,
  parseFields,
  parseMedia,
  parseRole,
  type RecordOptions,
} from "./record-schema.js";

/** The names of a record's fields. */
export type TurnColumns = {
  readonly turns: string;
  /** First of these that a record has. */
  readonly images: readonly string[];
  readonly videos: readonly string[];
  readonly role: string;
  readonly text: string;
};

/** LLaVA: `{id, image?, video?, conversations: [{from: "human" | "gpt", value}]}`. */
export const llavaColumns: TurnColumns = {
  turns: "conversations",
  images: ["image", "images"],
  videos: ["video", "videos"],
  role: "from",
  text: "value",
};
/** ShareGPT: `{conversations: [{from, value}], images?, videos?, system?}`. */
export const shareGptColumns: TurnColumns = {
  ...llavaColumns,
  images: ["images", "image"],
  videos: ["videos", "video"],
};
/** ms-swift and TRL: `{messages: [{role, content}], images?, videos?}`. */
export const messagesColumns: TurnColumns = {
  turns: "messages",
  images: ["images", "image"],
  videos: ["videos", "video"],
  role: "role",
  text: "content",
};

const partSchema = z.union([
  z.object({ type: z.literal("text"), text: z.string() }),
  z.object({ type: z.enum(["image", "video"]) }),
]);

/** The schemas of given names are made once. */
const schemaCache = new WeakMap<TurnColumns, z.ZodType<Record<string, unknown>>>();
const schemaOf = (columns: TurnColumns): z.ZodType<Record<string, unknown>> => {
  const known = schemaCache.get(columns);
  if (known) return known;
  const media = Object.fromEntries(
    [...columns.images, ...columns.videos].map((name) => [name, mediaSchema]),
  );
  const schema = z.looseObject({
    id: z.union([z.string(), z.number()]).nullish(),
    system: z.string().nullish(),
    [columns.turns]: z
      .array(
        z.looseObject({
          [columns.role]: z.string(),
          [columns.text]: z.union([z.string(), z.array(partSchema)]),
        }),
      )
      .min(1),
    ...media,
  });
  schemaCache.set(columns, schema);
  return schema;
};

type Fields = {
  readonly id?: string | number | null;
  readonly system?: string | null;
  readonly [name: string]: unknown;
};

/** The field that holds media; two that do would be a guess. */
const pickMedia = (fields: Fields, names: readonly string[]): z.infer<typeof mediaSchema> => {
  const present = names.filter((name) => fields[name] !== undefined && fields[name] !== null);
  if (present.length > 1)
    throw new RecordError(
      `parseRecord: media must be in one field, got ${present.join(" and ")}. Remove one of them.`,
    );
  return present.length === 0 ? undefined : (fields[present[0]] as z.infer<typeof mediaSchema>);
};

/**
 * Parses one record.
 *
 * @throws RecordError where a field does not fit, a medium lies outside of `mediaRoot`, or tags and media differ in number.
 */
export const parseTurnRecord = (
  value: unknown,
  place: RecordPlace,
  columns: TurnColumns,
  { mediaRoot, untaggedMedia }: RecordOptions = {},
): ConversationSample => {
  const fields = parseFields(schemaOf(columns), value, `"${columns.turns}"`) as Fields;
  const turns = (fields[columns.turns] as readonly Record<string, unknown>[]).map(
    (turn): RecordTurn => ({
      role: parseRole(turn[columns.role] as string),
      content: turn[columns.text] as string | readonly ContentPart[],
    }),
  );
  const { id, system } = fields;
  if (typeof system === "string" && system !== "") {
    if (turns[0].role === "system")
      throw new RecordError(
        'parseRecord: a record must have one system text, got a field "system" and a system turn. Remove one of them.',
      );
    turns.unshift({ role: "system", content: system });
  }
  const { messages, media } = placeMedia(
    turns,
    {
      images: parseMedia(pickMedia(fields, columns.images), "image", mediaRoot),
      videos: parseMedia(pickMedia(fields, columns.videos), "video", mediaRoot),
    },
    untaggedMedia,
  );
  checkConversation(messages);
  const known = new Set(["id", "system", columns.turns, ...columns.images, ...columns.videos]);
  const rest = Object.entries(fields).filter(([name]) => !known.has(name));
  return {
    id: idOf(id, place),
    messages,
    media,
    source: place,
    ...(rest.length > 0 && { metadata: Object.fromEntries(rest) }),
  };
};
