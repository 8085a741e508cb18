// Which folder of src/ may import which. The one source of this table: the import rules
// (.dependency-cruiser.cjs) and the structure tests are made from it, ARCHITECTURE.md explains it.

const compute = ["graph", "nn"];
const parts = ["vision", "language", "reduce"];
const inputs = ["image", "video", "text", "weights"];
const models = [...compute, ...parts, ...inputs, "systems"];

/** Folder of src/ → folders it may import, besides itself and `sharedFiles`. */
const mayImport = {
  graph: [],
  nn: ["graph"],

  // These four stand beside the models and know nothing of them. A video is a row of images.
  image: [],
  text: [],
  weights: [],
  video: ["image"],

  // Rename tables (weights) lie next to the parameters whose names they translate.
  vision: [...compute, "weights"],
  language: [...compute, "weights"],
  // Reducers may be built of the blocks of an encoder or decoder: pre-fusion is made of decoder layers.
  reduce: [...compute, "vision", "language", "weights"],

  // Systems call the pure plan functions of image, video and text, so that a plan is made in one place.
  systems: [...compute, ...parts, ...inputs],

  // From a folder's files to a system that runs: the one place where weights and models meet.
  load: models,

  data: inputs,
  cost: models,
  generate: [...models, "load", "cost"],
  train: [...models, "load", "data", "cost", "generate"],
  analyze: [...models, "load", "data", "cost", "generate"],

  // The measured side of cost: what runs, timed.
  measure: [...models, "load", "cost", "generate"],

  eval: [...models, "load", "data", "cost", "generate", "train", "analyze"],
  verify: [...models, "load", "data", "cost", "generate", "train", "analyze"],

  server: [...models, "load", "data", "cost", "generate", "train", "analyze", "eval", "verify"],
  "ai-sdk": [...models, "generate"],
  cli: [
    ...models,
    "load",
    "data",
    "cost",
    "generate",
    "train",
    "analyze",
    "eval",
    "verify",
    "server",
    "measure",
  ],
};

/** Files directly in src/ that every folder may import; they import nothing but each other. */
const sharedFiles = ["errors.ts", "tensor-data.ts"];

/**
 * Folders whose files run in browsers too: no Node module, except in files named `*.node.ts`, which
 * the other files never import. The entry points `index.ts` and `web.ts` and the shared files are
 * universal as well.
 */
const universalFolders = [
  "graph",
  "nn",
  "image",
  "video",
  "text",
  "weights",
  "vision",
  "language",
  "reduce",
  "systems",
  "load",
  "data",
  "cost",
  "generate",
  "train",
  "analyze",
  "ai-sdk",
];

module.exports = { mayImport, sharedFiles, universalFolders };
