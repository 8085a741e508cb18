import { join } from "node:path";
import { writeFileAtomically, writeFully } from "../../weights/atomic-file.node.js";
import { buildSceneTokenizer } from "./vocabulary.js";

/** Writes the tokenizer of Scenes into a model folder, over one that is there; gives the paths of the files. */
export const writeSceneTokenizer = async (folder: string): Promise<string[]> => {
  const paths: string[] = [];
  for (const [name, json] of Object.entries(buildSceneTokenizer())) {
    const path = join(folder, name);
    const bytes = new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`);
    await writeFileAtomically(path, (file) => writeFully(file, bytes));
    paths.push(path);
  }
  return paths;
};
