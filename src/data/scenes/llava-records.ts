/** Records of LLaVA's training JSON: what is shown, who says what, and what is asked in it. */
import { describeScene, listCells } from "./descriptions.js";
import { characterFacts, columnFacts, keywordsOf } from "./keywords.js";
import { type QuestionOptions, questionsFor } from "./questions/index.js";
import type { Question } from "./questions/question.js";
import { type Scene, sceneId } from "./scene.js";
import { sampleList } from "./texts.js";

/**
 * `questions` and `descriptions` about an image; `facts`, questions in keywords (`keywordsOf`; template `keywords`);
 * `columns` and `characters`, the columns of its things and the characters of its print in the same way (`columnFacts`,
 * `characterFacts`).
 * `cells`, `places` and `things` (`listCells`) are captions of it without a request (template `plain`). Without an image:
 * `texts`, questions about a description; `retellings`, the same facts in another order, where nearly every word must be
 * looked up in the description; `lists`, words to be said again and again, the simplest lookup and the first that a
 * decoder learns.
 */
export const recordContents = [
  "questions",
  "descriptions",
  "texts",
  "retellings",
  "lists",
  "cells",
  "places",
  "things",
  "facts",
  "columns",
  "characters",
] as const;
export type RecordContent = (typeof recordContents)[number];

export type SceneRecord = {
  readonly id: string;
  /** Path of a PNG in the folder. */
  readonly image?: string;
  /** Path of a folder of frames in the folder. */
  readonly video?: string;
  readonly conversations: readonly { readonly from: "human" | "gpt"; readonly value: string }[];
  readonly content: RecordContent;
  /** What the turns ask, without the questions themselves; empty for descriptions. */
  readonly questions: readonly Omit<Question, "question">[];
};

export type RecordOptions = QuestionOptions & {
  readonly contents: readonly RecordContent[];
  readonly turns: "one" | "all";
};

/** What a description is asked for with. */
export const describeRequest = "Describe the image.";
export const describeClipRequest = "Describe the video.";

/** Words of an answer to a list, at least: said again and again, so that most of the text is something to learn. */
const repeatedWords = 48;

/** What a list is followed by. */
const repeatRequest = "Describe this.";

/** Retellings have variants of their own, far from those of descriptions. */
const retellingVariants = 1_000_000;

/** The records of a scene whose image, or folder of frames, lies at `path`. */
export const createRecords = (
  scene: Scene,
  path: string,
  { contents, turns, families, perFamily, variant }: RecordOptions,
): SceneRecord[] => {
  const id = sceneId(scene);
  const isClip = scene.kind === "clip";
  const media = isClip ? { video: path } : { image: path };
  const placeholder = isClip ? "<video>" : "<image>";
  const questions = questionsFor(scene, { families, perFamily, variant });
  const groups = turns === "one" ? questions.map((question) => [question]) : [questions];

  const ask = (
    content: RecordContent,
    opening: string,
    asked: readonly (readonly Question[])[] = groups,
  ): SceneRecord[] =>
    asked
      .filter((group) => group.length > 0)
      .map((group, at) => ({
        id: `${id}-${content}-${at}`,
        ...(content !== "texts" && media),
        conversations: group.flatMap(({ question, answer }, turn) => {
          const text = content === "facts" ? keywordsOf(question) : question;
          return [
            { from: "human" as const, value: turn === 0 ? `${opening}\n${text}` : text },
            { from: "gpt" as const, value: answer },
          ];
        }),
        content,
        questions: group.map(({ question: _, ...rest }) => rest),
      }));

  const describe = (): SceneRecord => ({
    id: `${id}-descriptions`,
    ...media,
    conversations: [
      { from: "human", value: `${placeholder}\n${isClip ? describeClipRequest : describeRequest}` },
      { from: "gpt", value: describeScene(scene, variant) },
    ],
    content: "descriptions",
    questions: [],
  });

  /** A caption without a request; no record where there is nothing to tell. */
  const caption = (content: RecordContent, text: string | undefined): SceneRecord[] =>
    text
      ? [
          {
            id: `${id}-${content}`,
            ...media,
            conversations: [
              { from: "human", value: placeholder },
              { from: "gpt", value: text },
            ],
            content,
            questions: [],
          },
        ]
      : [];

  const retell = (): SceneRecord => ({
    id: `${id}-retellings`,
    conversations: [
      {
        from: "human",
        value: `${describeScene(scene, variant)}\n${isClip ? describeClipRequest : describeRequest}`,
      },
      { from: "gpt", value: describeScene(scene, (variant ?? 0) + retellingVariants) },
    ],
    content: "retellings",
    questions: [],
  });

  const repeat = (): SceneRecord => {
    const list = sampleList(scene.key, variant);
    const times = Math.ceil(repeatedWords / list.length);
    return {
      id: `${id}-lists`,
      conversations: [
        { from: "human", value: `${list.join(" ")}\n${repeatRequest}` },
        { from: "gpt", value: new Array(times).fill(list.join(" ")).join(" ") },
      ],
      content: "lists",
      questions: [],
    };
  };

  return contents.flatMap((content) => {
    if (content === "descriptions") return describe();
    if (content === "cells" || content === "places" || content === "things")
      return caption(content, listCells(scene, content, variant));
    if (content === "retellings") return retell();
    if (content === "lists") return repeat();
    if (content === "columns") return ask(content, placeholder, [columnFacts(scene)]);
    if (content === "characters") return ask(content, placeholder, [characterFacts(scene)]);
    return ask(content, content === "texts" ? describeScene(scene, variant) : placeholder);
  });
};
