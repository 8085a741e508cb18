/** What every dataset reader gives: a conversation with references to its media, and where it came from. */
import type { RgbImage } from "../image/image.js";
import type { PrintedCharacter } from "../image/print-grid.js";
import type { ChatMessage } from "../text/chat-message.js";
import type { LlavaTemplateName } from "../text/llava-templates.js";

/** An image or video that is read when it is needed. */
export type MediaReference =
  | { readonly type: "image" | "video"; readonly path: string }
  | { readonly type: "image"; readonly bytes: Uint8Array }
  /** Drawn anew, and the same, at every call. */
  | {
      readonly type: "image";
      readonly render: () => Promise<RgbImage>;
      /** Where its print stands. */
      readonly locatePrint?: () => Promise<readonly PrintedCharacter[]>;
    };

/** Where a record lies: `line` counts from 1 (text files), `row` from 0 (tables). */
export type RecordPlace = {
  readonly file: string;
  readonly line?: number;
  readonly row?: number;
};

/** One conversation. Its image and video parts, in order, are the entries of `media`. */
export type ConversationSample = {
  readonly id: string;
  readonly messages: readonly ChatMessage[];
  readonly media: readonly MediaReference[];
  readonly source: RecordPlace;
  /** The format that this dataset is to be written in; the model's, or the stage's, when absent. */
  readonly template?: LlavaTemplateName;
  /** Fields of the record that its format does not define, as they were. */
  readonly metadata?: Readonly<Record<string, unknown>>;
};

/** `file:line`, `file, row n` or `file`. */
export const describePlace = ({ file, line, row }: RecordPlace): string => {
  if (line !== undefined) return `${file}:${line}`;
  return row === undefined ? file : `${file}, row ${row}`;
};
