/** Records of LLaVA's training JSON: what is shown, who says what, and what is asked in it. */
import { describeScene } from "./descriptions.js";
import { type QuestionOptions, questionsFor } from "./questions/index.js";
import type { Question } from "./questions/question.js";
import { type Scene, sceneId } from "./scene.js";

/**
 * `questions` and `descriptions` about an image. Without an image: `texts`, questions about a description, and
 * `retellings`, the same facts in another order, where nearly every word must be looked up in the description.
 */
export const recordContents = ["questions", "descriptions", "texts", "retellings"] as const;
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

  const ask = (content: RecordContent, opening: string): SceneRecord[] =>
    groups
      .filter((group) => group.length > 0)
      .map((group, at) => ({
        id: `${id}-${content}-${at}`,
        ...(content === "questions" && media),
        conversations: group.flatMap(({ question, answer }, turn) => [
          { from: "human" as const, value: turn === 0 ? `${opening}\n${question}` : question },
          { from: "gpt" as const, value: answer },
        ]),
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

  return contents.flatMap((content) => {
    if (content === "descriptions") return describe();
    if (content === "retellings") return retell();
    return ask(content, content === "texts" ? describeScene(scene, variant) : placeholder);
  });
};
