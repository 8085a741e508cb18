/** The small trained models that come with the package. */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The package's `models/`; the same from `src/` and from `dist/`. */
const modelsFolder = fileURLToPath(new URL("../../models/", import.meta.url));

export type EmbeddedModel = { readonly name: string; readonly path: string };

const isFile = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => undefined))?.isFile() === true;

/** What a page or a server begins with. */
const mainModel = "llava-mini-scenes";

/** All of them, the main one first and the others by name: folders that hold a `config.json` and weights. */
export const listEmbeddedModels = async (): Promise<EmbeddedModel[]> => {
  const found: EmbeddedModel[] = [];
  const isOther = (name: string): number => Number(name !== mainModel);
  const names = await readdir(modelsFolder).catch((): string[] => []);
  for (const name of names.sort().sort((a, b) => isOther(a) - isOther(b))) {
    const path = join(modelsFolder, name);
    const files = ["config.json", "model.safetensors"].map((file) => isFile(join(path, file)));
    if ((await Promise.all(files)).every(Boolean)) found.push({ name, path });
  }
  return found;
};

/** Folder of the embedded model of that name; undefined where there is none. */
export const findEmbeddedModel = async (name: string): Promise<string | undefined> =>
  (await listEmbeddedModels()).find((model) => model.name === name)?.path;
