import { fork } from "node:child_process";
import { createRequire } from "node:module";
import { SessionClosedError } from "../errors.js";
import { reviveError } from "../graph/worker-protocol.js";
import type { ProcessReply, ProcessRequest } from "./measured-process.node.js";
import type { MeasuredRun, MeasuredSystemOptions } from "./measured-system.node.js";

/** A system in a process of its own. */
export type MeasuredProcess = { run(): Promise<MeasuredRun>; close(): void };

/**
 * Starts a process and opens a system in it. Throws what `openMeasuredSystem` throws, and
 * `SessionClosedError` when the process ends before it has answered.
 */
export const openMeasuredProcess = async (
  options: MeasuredSystemOptions,
  signal?: AbortSignal,
): Promise<MeasuredProcess> => {
  signal?.throwIfAborted();
  // By the package's own name for it: the built file, also when the sources run uncompiled.
  const file = createRequire(import.meta.url).resolve("#measured-process");
  const child = fork(file, { execArgv: [], stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const close = (): void => {
    child.removeAllListeners();
    // What the channel still says as it breaks is nobody's business any more.
    child.on("error", () => {});
    child.kill("SIGKILL");
  };
  const ask = (request: ProcessRequest): Promise<ProcessReply> =>
    new Promise((resolve, reject) => {
      const settle = (act: () => void) => {
        child.removeAllListeners();
        signal?.removeEventListener("abort", onAbort);
        act();
      };
      const onAbort = (): void => settle(() => reject(signal?.reason));
      signal?.addEventListener("abort", onAbort);
      child.on("error", (error) => settle(() => reject(error)));
      child.on("exit", (code, by) =>
        settle(() =>
          reject(
            new SessionClosedError(
              `measure: the process of ${options.model.name} ended (${by ?? `code ${code}`}); SIGKILL as a rule means that memory ran out: take a smaller request, or fewer layers`,
            ),
          ),
        ),
      );
      child.on("message", (reply: ProcessReply) => settle(() => resolve(reply)));
      child.send(request);
    });
  const expect = async <Type extends ProcessReply["type"]>(
    request: ProcessRequest,
    type: Type,
  ): Promise<Extract<ProcessReply, { type: Type }>> => {
    const reply = await ask(request);
    if (reply.type === "failed") throw reviveError(reply.error);
    if (reply.type === type) return reply as Extract<ProcessReply, { type: Type }>;
    throw new SessionClosedError(
      `measure: expected "${type}" from its process, got "${reply.type}"`,
    );
  };
  try {
    await expect({ type: "open", options }, "opened");
  } catch (error) {
    close();
    throw error;
  }
  return { run: async () => (await expect({ type: "run" }, "ran")).run, close };
};
