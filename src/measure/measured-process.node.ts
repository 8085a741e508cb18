/**
 * The process that holds one measured system: its memory is that system's alone, and one that dies takes
 * nothing with it. Requests come one at a time over the channel of `fork`.
 */
import { SaccadeError } from "../errors.js";
import { type ErrorReport, reportError } from "../graph/worker-protocol.js";
import {
  type MeasuredRun,
  type MeasuredSystem,
  type MeasuredSystemOptions,
  openMeasuredSystem,
} from "./measured-system.node.js";

export type ProcessRequest =
  | { readonly type: "open"; readonly options: MeasuredSystemOptions }
  | { readonly type: "run" };

export type ProcessReply =
  | { readonly type: "opened" }
  | { readonly type: "ran"; readonly run: MeasuredRun }
  | { readonly type: "failed"; readonly error: ErrorReport };

let system: MeasuredSystem | undefined;

const answer = async (request: ProcessRequest): Promise<ProcessReply> => {
  if (request.type === "open") {
    system = await openMeasuredSystem(request.options);
    return { type: "opened" };
  }
  if (system === undefined) throw new SaccadeError("measured-process: open a system first");
  return { type: "ran", run: await system.run() };
};

process.on("message", (request: ProcessRequest) => {
  answer(request)
    .catch((error): ProcessReply => ({ type: "failed", error: reportError(error) }))
    .then((reply) => process.send?.(reply));
});
// Whoever asked is gone, or has seen enough.
process.on("disconnect", () => process.exit());
