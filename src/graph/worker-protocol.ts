/**
 * How a page or thread speaks with the worker that holds ONNX Runtime: one request, one reply, the
 * same in Node and in browsers.
 */
import * as errors from "../errors.js";
import type { EngineHost } from "./engine-host.js";
import type { AsyncHost } from "./remote-engine.js";

export type WorkerRequest = {
  readonly id: number;
  readonly method: keyof AsyncHost;
  readonly parameters: readonly unknown[];
};

export type WorkerReply =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: ErrorReport };

/** The buffers of a result, which can move to the other side instead of being copied. */
const buffersOf = (result: unknown): ArrayBuffer[] => {
  if (result === null || typeof result !== "object") return [];
  return Object.values(result)
    .map((value) => (value as { data?: { buffer?: unknown } } | null)?.data?.buffer)
    .filter((buffer): buffer is ArrayBuffer => buffer instanceof ArrayBuffer);
};

const errorClasses = errors as unknown as Record<string, new (message: string) => Error>;

/** An error as it crosses to another thread. */
export type ErrorReport = { readonly name: string; readonly message: string };

/** By its place in `errors.ts`: a bundler may have shortened the class's own name. */
const classNameOf = (error: unknown): string =>
  Object.keys(errorClasses).find(
    (name) => error instanceof Error && error.constructor === errorClasses[name],
  ) ?? "SaccadeError";

export const reportError = (error: unknown): ErrorReport => ({
  name: classNameOf(error),
  message: error instanceof Error ? error.message : String(error),
});

/** Rebuilds an error that crossed the boundary, with its class where the message is all it holds. */
export const reviveError = ({ name, message }: ErrorReport): Error =>
  name === "WeightsMismatchError"
    ? new errors.SaccadeError(message)
    : new errorClasses[name](message);

/**
 * The worker's side: answers requests one at a time and in order, since sessions share the same
 * cores and caches depend on the order.
 */
export const serveHost = (
  host: EngineHost,
  post: (reply: WorkerReply, moved: ArrayBuffer[]) => void,
): ((request: WorkerRequest) => void) => {
  let previous: Promise<void> = Promise.resolve();
  return ({ id, method, parameters }) => {
    previous = previous.then(async () => {
      try {
        const call = host[method] as (...values: readonly unknown[]) => unknown;
        const result = await call.apply(host, [...parameters]);
        post({ id, result }, buffersOf(result));
      } catch (error) {
        post({ id, error: reportError(error) }, []);
      }
    });
  };
};

export type HostClient = {
  readonly host: AsyncHost;
  /** Takes a reply; returns how many requests are still unanswered. */
  receive(reply: WorkerReply): number;
  /** Ends every request, and each one to come, with `error`: the worker is gone. */
  fail(error: Error): void;
};

/** The caller's side: methods that answer later. `post` sends a request to the worker. */
export const createHostClient = (post: (request: WorkerRequest) => void): HostClient => {
  const pending = new Map<
    number,
    { resolve: (value: never) => void; reject: (error: Error) => void }
  >();
  let nextId = 1;
  let dead: Error | undefined;

  const call =
    (method: keyof AsyncHost) =>
    (...parameters: readonly unknown[]): Promise<never> =>
      new Promise((resolve, reject) => {
        if (dead !== undefined) {
          reject(dead);
          return;
        }
        const id = nextId++;
        pending.set(id, { resolve, reject });
        try {
          post({ id, method, parameters });
        } catch (error) {
          // A value that cannot be copied to the worker; nothing was sent, so nothing will answer.
          pending.delete(id);
          reject(error);
        }
      });

  return {
    host: {
      open: call("open"),
      run: call("run"),
      close: call("close"),
      allocate: call("allocate"),
      copy: call("copy"),
      write: call("write"),
      read: call("read"),
      release: call("release"),
      closeAll: call("closeAll"),
    },
    receive: (reply) => {
      const waiting = pending.get(reply.id);
      pending.delete(reply.id);
      if ("error" in reply) waiting?.reject(reviveError(reply.error));
      else waiting?.resolve(reply.result as never);
      return pending.size;
    },
    fail: (error) => {
      dead = error;
      for (const { reject } of pending.values()) reject(error);
      pending.clear();
    },
  };
};
