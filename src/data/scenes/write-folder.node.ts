/**
 * Writes scenes as a data set in LLaVA's JSON layout: `scenes.json` (records with `id`, `image` or `video`,
 * `conversations`), `images/` and `clips/` with PNG files, `manifest.json` and `ATTRIBUTION.md`.
 *
 * The folder appears under its name when it is complete; until then it is a hidden one beside it. Memory does not
 * grow with the number of scenes.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { OptionsError } from "../../errors.js";
import { attribution } from "./attribution.js";
import {
  createRecords,
  type RecordContent,
  recordContents,
  type SceneRecord,
} from "./llava-records.js";
import { encodePng } from "./png.node.js";
import type { QuestionOptions } from "./questions/index.js";
import type { SceneKind, Split } from "./random.js";
import { createSceneRenderer, type SceneRenderer, sceneSize } from "./render.node.js";
import { type SceneOptions, sampleScene, scenesVersion } from "./sample.js";
import { type Scene, sceneId } from "./scene.js";

export type WriteScenesOptions = Omit<SceneOptions, "kind" | "index" | "seed" | "split"> &
  QuestionOptions & {
    /** A folder that does not exist or is empty. */
    readonly folder: string;
    /** Number of scenes. */
    readonly count: number;
    /** Index of the first scene; default 0. */
    readonly first?: number;
    readonly seed?: number;
    readonly split?: Split;
    /** Kinds in turns: scene i has kind i modulo their number; default only `simple`. */
    readonly kinds?: readonly SceneKind[];
    /** Height of the images in pixels; default 336. */
    readonly heightPx?: number;
    /** What records hold; default questions. */
    readonly contents?: readonly RecordContent[];
    /** `one`: a record per question (default); `all`: all questions of a scene as turns of one record. */
    readonly turns?: "one" | "all";
    readonly onProgress?: (numScenes: number) => void;
    /** Stops the writing; nothing is left behind. */
    readonly signal?: AbortSignal;
  };

export type WriteScenesResult = {
  readonly folder: string;
  readonly numScenes: number;
  readonly numRecords: number;
  /** Questions of each family. */
  readonly numByFamily: Readonly<Record<string, number>>;
};

const check = (isRight: boolean, message: string): void => {
  if (!isRight) throw new OptionsError(`writeScenes: ${message}`);
};

const checkOptions = async (options: WriteScenesOptions): Promise<void> => {
  const { folder, count, first = 0, heightPx = 336, kinds = ["simple"], aspect = 1 } = options;
  check(
    Number.isInteger(count) && count > 0,
    `count is a whole number of at least 1, got ${count}. Say how many scenes to write.`,
  );
  check(
    Number.isInteger(first) && first >= 0 && first + count <= 2 ** 32,
    `indices are from 0 to ${2 ** 32 - 1}, got ${first} to ${first + count - 1}. Choose another first.`,
  );
  check(kinds.length > 0, "kinds name at least one kind, got none. Leave them out for simple.");
  const { contents = ["questions"], turns = "one" } = options;
  const wrong = contents.find((content) => !recordContents.includes(content));
  check(
    contents.length > 0 && wrong === undefined,
    `contents are some of ${recordContents.join(", ")}, got ${wrong ?? "none"}. Name what to write.`,
  );
  check(
    turns === "one" || turns === "all",
    `turns are one or all, got ${turns}. Pass one of them.`,
  );
  sceneSize(aspect, heightPx);
  const files = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw new OptionsError(
      `writeScenes: folder is a folder to make or an empty one, got ${folder} (${error.message}). Choose another name.`,
      { cause: error },
    );
  });
  check(
    files.length === 0,
    `folder is empty or new, got ${folder} with ${files.length} entries. Choose another name.`,
  );
};

/** Writes the pictures of a scene; gives the path that its records name. */
const writeImages = async (
  renderer: SceneRenderer,
  scene: Scene,
  heightPx: number,
  folder: string,
): Promise<string> => {
  const id = sceneId(scene);
  if (scene.kind !== "clip") {
    const path = `images/${id}.png`;
    await writeFile(join(folder, path), await encodePng(await renderer.render(scene, heightPx)));
    return path;
  }
  const path = `clips/${id}`;
  await mkdir(join(folder, path));
  for (const [at, image] of (await renderer.renderFrames(scene, heightPx)).entries()) {
    const name = `${String(at).padStart(4, "0")}.png`;
    await writeFile(join(folder, path, name), await encodePng(image));
  }
  return path;
};

/**
 * Results of all, or the first failure, and then not before the others have ended: the folder is taken away behind
 * it, and nobody may still write there.
 */
const finishAll = async <Value>(works: readonly Promise<Value>[]): Promise<Value[]> =>
  (await Promise.allSettled(works)).map((end) => {
    if (end.status === "rejected") throw end.reason;
    return end.value;
  });

/** Scenes that are encoded at the same time. */
const numAtOnce = 4;

const fillFolder = async (
  folder: string,
  options: WriteScenesOptions,
): Promise<Omit<WriteScenesResult, "folder">> => {
  const { count, first = 0, seed = 0, split = "train", kinds = ["simple"] } = options;
  const { heightPx = 336, contents = ["questions"], turns = "one" } = options;
  const renderer = await createSceneRenderer();
  if (kinds.some((kind) => kind !== "clip")) await mkdir(join(folder, "images"));
  if (kinds.includes("clip")) await mkdir(join(folder, "clips"));
  let numRecords = 0;
  const numByFamily: Record<string, number> = {};
  const json = await open(join(folder, "scenes.json"), "wx");
  const writeRecord = async (record: SceneRecord) => {
    await json.appendFile(`${numRecords === 0 ? "[" : ","}\n${JSON.stringify(record)}`);
    numRecords += 1;
    for (const { family } of record.questions) numByFamily[family] = (numByFamily[family] ?? 0) + 1;
  };
  try {
    for (let from = 0; from < count; from += numAtOnce) {
      options.signal?.throwIfAborted();
      const size = Math.min(numAtOnce, count - from);
      const batch = await finishAll(
        Array.from({ length: size }, async (_, at) => {
          const index = first + from + at;
          const kind = kinds[index % kinds.length];
          const scene = sampleScene({ ...sceneOptionsOf(options), seed, split, index, kind });
          const path = await writeImages(renderer, scene, heightPx, folder);
          return createRecords(scene, path, { ...options, contents, turns });
        }),
      );
      for (const record of batch.flat()) await writeRecord(record);
      options.onProgress?.(from + size);
    }
    await json.appendFile(numRecords === 0 ? "[]\n" : "\n]\n");
    await json.sync();
  } finally {
    await json.close();
  }
  const manifest = {
    generator: "saccade scenes",
    scenesVersion,
    ...{ seed, split, first, count, kinds, heightPx, contents, turns },
    ...sceneOptionsOf(options),
    ...(options.families && { families: options.families }),
    perFamily: options.perFamily ?? 1,
    numRecords,
    numByFamily,
  };
  await writeFile(join(folder, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);
  await writeFile(join(folder, "ATTRIBUTION.md"), attribution);
  return { numScenes: count, numRecords, numByFamily };
};

const sceneOptionsOf = ({ aspect, grid, theme, detail, story, numFrames }: WriteScenesOptions) => ({
  ...(aspect !== undefined && { aspect }),
  ...(grid !== undefined && { grid }),
  ...(theme !== undefined && { theme }),
  ...(detail !== undefined && { detail }),
  ...(story !== undefined && { story }),
  ...(numFrames !== undefined && { numFrames }),
});

/**
 * Writes `count` scenes with their questions, descriptions or texts into a new folder.
 * Throws OptionsError for options that cannot be or a folder that holds something, MissingPackageError where an optional
 * package is not installed, and what `signal` was aborted with; nothing is left behind then.
 */
export const writeScenes = async (options: WriteScenesOptions): Promise<WriteScenesResult> => {
  await checkOptions(options);
  const folder = resolve(options.folder);
  await mkdir(dirname(folder), { recursive: true });
  const hidden = join(dirname(folder), `.${basename(folder)}.${randomUUID()}.tmp`);
  await mkdir(hidden);
  try {
    const result = await fillFolder(hidden, options);
    // A rename does not replace a folder everywhere, not even an empty one.
    await rmdir(folder).catch(() => undefined);
    await rename(hidden, folder);
    return { folder, ...result };
  } catch (error) {
    await rm(hidden, { recursive: true, force: true });
    throw error;
  }
};
