/** Scenes as a dataset without files: every record is drawn when it is read, the same one each time. */
import { OptionsError } from "../../errors.js";
import type { ConversationSample } from "../conversation-sample.js";
import { placeMedia } from "../placed-media.js";
import { checkRecordIndex, type SampleReader, tryRecord } from "../sample-reader.js";
import { createRecords, type RecordContent, recordContents } from "./llava-records.js";
import type { QuestionOptions } from "./questions/index.js";
import type { SceneKind, Split } from "./random.js";
import { createSceneRenderer, type SceneRenderer, sceneSize } from "./render.node.js";
import { type SceneOptions, sampleScene, scenesVersion } from "./sample.js";

export type SceneReaderOptions = Omit<SceneOptions, "kind" | "index" | "seed" | "split"> &
  Omit<QuestionOptions, "variant"> & {
    /** Number of scenes. */
    readonly count: number;
    /** Index of the first scene; default 0. */
    readonly first?: number;
    /** Default 0. */
    readonly seed?: number;
    /** Default `train`. */
    readonly split?: Split;
    /** Kinds in turns: scene i has kind i modulo their number; default only `simple`. Clips are none of them. */
    readonly kinds?: readonly Exclude<SceneKind, "clip">[];
    /** Height of the images in pixels; default 336. */
    readonly heightPx?: number;
    /** What records hold, one record of each for every scene; default questions. */
    readonly contents?: readonly RecordContent[];
    /** Most questions of a record; default all of the scene's. */
    readonly maxTurns?: number;
  };

const isCount = (value: number): boolean => Number.isInteger(value) && value > 0;

const checkOptions = (options: SceneReaderOptions): void => {
  const { count, first = 0, kinds = ["simple"], contents = ["questions"] } = options;
  const { heightPx = 336, aspect = 1, maxTurns = 1 } = options;
  const checks: readonly (readonly [boolean, string])[] = [
    [isCount(count), `count is a whole number of at least 1, got ${count}`],
    [
      Number.isInteger(first) && first >= 0 && first + count <= 2 ** 32,
      `indices are from 0 to ${2 ** 32 - 1}, got ${first} to ${first + count - 1}`,
    ],
    [
      kinds.length > 0 && kinds.every((kind) => kind === "simple" || kind === "detail"),
      `kinds are simple and detail, got ${kinds.join(", ") || "none"}`,
    ],
    [
      contents.length > 0 && contents.every((content) => recordContents.includes(content)),
      `contents are some of ${recordContents.join(", ")}, got ${contents.join(", ") || "none"}`,
    ],
    [isCount(maxTurns), `maxTurns is a whole number of at least 1, got ${maxTurns}`],
  ];
  for (const [isRight, rule] of checks)
    if (!isRight) throw new OptionsError(`openScenes: ${rule}. Pass such a value.`);
  sceneSize(aspect, heightPx);
};

/**
 * The records of `count` scenes. Images are drawn when they are asked for.
 *
 * @throws OptionsError and LimitError for options that cannot be.
 */
export const openScenes = (options: SceneReaderOptions): SampleReader => {
  checkOptions(options);
  const { count, first = 0, seed = 0, split = "train", kinds = ["simple"] } = options;
  const { heightPx = 336, contents = ["questions"], families, perFamily } = options;
  const { aspect, grid, theme, detail, panels, maxTurns = Number.POSITIVE_INFINITY } = options;
  const name = `scenes of ${split}, seed ${seed}`;
  const length = count * contents.length;
  let renderer: Promise<SceneRenderer> | undefined;

  const draw = (index: number): ConversationSample => {
    const sceneIndex = first + Math.floor(index / contents.length);
    const content = contents[index % contents.length];
    const kind = kinds[sceneIndex % kinds.length];
    const scene = sampleScene({
      seed,
      split,
      index: sceneIndex,
      kind,
      aspect,
      grid,
      theme,
      detail,
      panels,
    });
    const [record] = createRecords(scene, "scene", {
      contents: [content],
      turns: "all",
      // A scene's texts and questions about its image are different ones.
      variant: recordContents.indexOf(content),
      families,
      perFamily,
    });
    if (record === undefined)
      throw new OptionsError(
        `openScenes: every scene must have a question of ${families?.join(", ")}, got none for scene ${sceneIndex}. Ask for more families.`,
      );
    const turns = record.conversations.slice(0, 2 * maxTurns).map(({ from, value }) => ({
      role: from === "human" ? ("user" as const) : ("assistant" as const),
      content: value,
    }));
    const render = async () => {
      renderer ??= createSceneRenderer();
      return (await renderer).render(scene, heightPx);
    };
    const locatePrint = async () => {
      renderer ??= createSceneRenderer();
      return (await renderer).locatePrint(scene, heightPx);
    };
    const images =
      record.image === undefined ? [] : [{ type: "image" as const, render, locatePrint }];
    return {
      ...placeMedia(turns, { images, videos: [] }),
      id: record.id,
      source: { file: name, row: index },
      metadata: { questions: record.questions.slice(0, maxTurns) },
    };
  };

  return {
    name,
    length,
    fingerprint: `scenes-${scenesVersion}-${JSON.stringify(options)}`,
    read: async (index) => {
      checkRecordIndex(name, index, length);
      return tryRecord({ file: name, row: index }, () => draw(index));
    },
    close: async () => {},
  };
};
