/** What the browser tests' page has: the package's browser entry and, to build graphs, the engine. */
import * as graph from "../../src/graph/index.js";
import { ParameterScope } from "../../src/nn/parameter-scope.js";
import * as saccade from "../../src/web.js";
import { trainCopying } from "./train-copying.js";

const library = { ...saccade, graph, ParameterScope, trainCopying };
export type Library = typeof library;

Object.assign(globalThis, { library });
