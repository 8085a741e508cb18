/**
 * Checkpoints as folders, `step-0000000100/` with `state.safetensors` and `manifest.json`. A folder is
 * written under a hidden name, flushed and then renamed; and it counts only with a manifest that says
 * what the other file must be. So a kill at any moment leaves whole checkpoints and nothing else.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError, SafetensorsError } from "../errors.js";
import type { TensorData } from "../tensor-data.js";
import { syncFolder, writeFileAtomically, writeFully } from "../weights/atomic-file.node.js";
import { plannedBytes, planSafetensors } from "../weights/safetensors-encoding.js";
import { openSafetensors } from "../weights/safetensors-file.node.js";
import type { Checkpoint, CheckpointStore, LoopState } from "./checkpoint.js";
import type { JsonValue, LoopTensors } from "./trainable.js";

const formatVersion = 1;
const stateFile = "state.safetensors";
const manifestFile = "manifest.json";
const folderPattern = /^step-(\d{10})$/;
const hiddenPattern = /^\.step-.*\.(?:writing|discarded)$/;

const count = z.int().min(0);
const manifestSchema = z.object({
  format: z.literal(formatVersion),
  step: count,
  stageIndex: count,
  stage: z.string(),
  stageStep: count,
  data: z.json(),
  recipe: z.json(),
  recipeHash: z.string(),
  tensors: z.object({ bytes: count, sha256: z.string() }),
});

const hashOf = (recipe: JsonValue): string =>
  createHash("sha256").update(JSON.stringify(recipe)).digest("hex");

/** Writes the tensors and returns what the manifest says about them. */
const writeTensors = async (path: string, tensors: LoopTensors) => {
  const specs = [...tensors].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const { header, entries, fileBytes } = planSafetensors(specs);
  const hash = createHash("sha256").update(header);
  await writeFileAtomically(path, async (file) => {
    await writeFully(file, header);
    for (const entry of entries) {
      const bytes = plannedBytes(entry, tensors.get(entry.name));
      hash.update(bytes);
      await writeFully(file, bytes);
    }
  });
  return { bytes: fileBytes, sha256: hash.digest("hex") };
};

const discard = async (root: string, name: string): Promise<void> => {
  const hidden = join(root, `.${name}.${randomUUID()}.discarded`);
  // Renamed first: a folder that is being emptied must not look like a checkpoint.
  await rename(join(root, name), hidden);
  await rm(hidden, { recursive: true, force: true });
};

const foldersIn = async (root: string): Promise<string[]> => {
  const names = await readdir(root);
  // Steps are written with leading zeros, so that the order of names is theirs.
  return names.filter((name) => folderPattern.test(name)).sort();
};

const readTensors = async (path: string): Promise<LoopTensors> => {
  const file = await openSafetensors(path);
  const tensors = new Map<string, TensorData<"float32">>();
  for (const name of file.tensors.keys()) {
    const tensor = await file.readTensor(name);
    if (tensor.dtype !== "float32") {
      throw new SafetensorsError(
        `readTensors: a checkpoint holds float32 tensors, got ${tensor.dtype} for "${name}" in ${path}; it was not written by a training run`,
      );
    }
    tensors.set(name, tensor);
  }
  return tensors;
};

const sha256OfFile = async (path: string): Promise<string> => {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk);
  return hash.digest("hex");
};

/** Reads one folder whole, or says what is wrong with it. */
const readCheckpoint = async (folder: string): Promise<Checkpoint | string> => {
  let text: string;
  try {
    text = await readFile(join(folder, manifestFile), "utf8");
  } catch {
    return `it has no readable ${manifestFile}`;
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return `its ${manifestFile} is no JSON`;
  }
  const manifest = manifestSchema.safeParse(value);
  if (!manifest.success) return `its ${manifestFile} is of another format`;
  const { format: _, tensors: expected, recipeHash, ...rest } = manifest.data;
  const path = join(folder, stateFile);
  const size = await stat(path).then(
    ({ size: bytes }) => bytes,
    () => undefined,
  );
  if (size !== expected.bytes) {
    return `its ${stateFile} must have ${expected.bytes} bytes, got ${size ?? "none"}`;
  }
  if ((await sha256OfFile(path)) !== expected.sha256) {
    return `its ${stateFile} has another checksum than its ${manifestFile} says`;
  }
  const state: LoopState = rest;
  if (hashOf(state.recipe) !== recipeHash) return "its recipe has another hash than it says";
  return { state, tensors: await readTensors(path) };
};

/**
 * The checkpoints in `root`, which is made where it is missing. What earlier processes left unfinished
 * is removed: only one process may use a folder (`lockRun`).
 */
export const openCheckpoints = async (root: string): Promise<CheckpointStore> => {
  await mkdir(root, { recursive: true });
  for (const name of await readdir(root)) {
    if (hiddenPattern.test(name)) await rm(join(root, name), { recursive: true, force: true });
  }

  const save: CheckpointStore["save"] = async ({ state, tensors }, keep) => {
    if (!Number.isInteger(keep) || keep < 1) {
      throw new CheckpointError(`save: at least one checkpoint must be kept, got ${keep}`);
    }
    const name = `step-${String(state.step).padStart(10, "0")}`;
    const writing = join(root, `.${name}.${randomUUID()}.writing`);
    try {
      const described = await writeTensors(join(writing, stateFile), tensors);
      const manifest = {
        format: formatVersion,
        ...state,
        recipeHash: hashOf(state.recipe),
        tensors: described,
      };
      await writeFileAtomically(join(writing, manifestFile), (file) =>
        writeFully(file, new TextEncoder().encode(`${JSON.stringify(manifest, null, 1)}\n`)),
      );
      // Only after a damaged one of the same step was passed over.
      if ((await foldersIn(root)).includes(name)) await discard(root, name);
      await rename(writing, join(root, name));
      await syncFolder(root);
    } catch (cause) {
      await rm(writing, { recursive: true, force: true });
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new CheckpointError(
        `save: the checkpoint of step ${state.step} must be written to ${root}, got ${reason}; make room there, older checkpoints are untouched`,
        { cause },
      );
    }
    for (const old of (await foldersIn(root)).slice(0, -keep)) await discard(root, old);
  };

  const newest: CheckpointStore["newest"] = async () => {
    const passedOver: string[] = [];
    for (const name of (await foldersIn(root)).reverse()) {
      const read = await readCheckpoint(join(root, name));
      if (typeof read !== "string") return { checkpoint: read, passedOver };
      passedOver.push(`${join(root, name)}: ${read}`);
    }
    return { passedOver };
  };

  return { save, newest };
};
