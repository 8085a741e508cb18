// Import rules, checked by `npm run check:imports` and by test/structure/import-direction.test.ts.
// The table of who may import whom is scripts/layers.cjs.
const { mayImport, sharedFiles, universalFolders } = require("./scripts/layers.cjs");

const anyOf = (names) => `(?:${names.join("|").replaceAll(".", "\\.")})`;
const shared = `^src/${anyOf(sharedFiles)}$`;
const universal = `^src/(?:${anyOf(universalFolders)}/.+|${anyOf([...sharedFiles, "index.ts", "web.ts"])})$`;
const nodeOnly = "\\.node\\.ts$";

/** One rule per folder: of src/, it imports itself, the shared files and what its row allows. */
const directionRules = Object.entries(mayImport).map(([folder, allowed]) => ({
  name: `direction-${folder}`,
  comment: `src/${folder} may import ${["itself", ...allowed].join(", ")} and the shared files`,
  severity: "error",
  from: { path: `^src/${folder}/` },
  to: { path: "^src/", pathNot: [shared, `^src/${anyOf([folder, ...allowed])}/`] },
}));

module.exports = {
  forbidden: [
    ...directionRules,
    {
      name: "folder-without-a-place",
      comment: "every folder of src/ has a row in scripts/layers.cjs",
      severity: "error",
      from: { path: "^src/[^/]+/", pathNot: `^src/${anyOf(Object.keys(mayImport))}/` },
      to: {},
    },
    {
      name: "shared-files-stand-alone",
      comment: "what everything imports may import nothing but its like",
      severity: "error",
      from: { path: shared },
      to: { pathNot: shared },
    },
    {
      name: "entry-points-are-doors",
      comment: "src/index.ts, node.ts and web.ts export what lies below; they have no cli in them",
      severity: "error",
      from: { path: "^src/[^/]+$" },
      to: { path: "^src/cli/" },
    },
    {
      name: "no-cycle",
      comment:
        "no file needs itself to load; a link that only imports types is erased and may close a ring",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "no-node-module-in-universal-files",
      comment: "browsers have no Node modules; put the Node part into a file named *.node.ts",
      severity: "error",
      from: { path: universal, pathNot: nodeOnly },
      to: { dependencyTypes: ["core"] },
    },
    {
      name: "no-node-file-in-universal-files",
      comment: "a universal file takes its reader as an argument behind an interface",
      severity: "error",
      from: { path: universal, pathNot: nodeOnly },
      to: { path: nodeOnly },
    },
    {
      name: "only-src-and-dependencies",
      comment: "the package ships src and its dependencies, nothing else",
      severity: "error",
      from: { path: "^src/" },
      to: {
        couldNotResolve: false,
        pathNot: ["^src/", "^dist/"],
        dependencyTypesNot: ["core", "npm", "npm-optional", "npm-peer"],
      },
    },
    {
      name: "nothing-unresolved",
      comment: "the import leads nowhere (#session-worker leads into the build and is exempt)",
      severity: "error",
      from: {},
      to: { couldNotResolve: true, pathNot: "^#session-worker$" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node"] },
  },
};
