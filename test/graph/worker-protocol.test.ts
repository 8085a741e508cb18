import { describe, expect, it } from "vitest";
import { SaccadeError, SessionClosedError, ShapeError } from "../../src/errors.js";
import type { EngineHost } from "../../src/graph/engine-host.js";
import { createHostClient, serveHost, type WorkerReply } from "../../src/graph/worker-protocol.js";

/** A client and a server in one thread; values cross as they would between two. */
const connect = (host: Partial<Record<keyof EngineHost, unknown>>) => {
  const moved: ArrayBuffer[] = [];
  const serve = serveHost(host as unknown as EngineHost, (reply, buffers) => {
    moved.push(...buffers);
    client.receive(structuredClone(reply));
  });
  const client = createHostClient((request) => serve(structuredClone(request)));
  return { client, moved };
};

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

describe("the protocol between an engine and its worker", () => {
  it("answers one request after the other, however long each takes", async () => {
    const log: string[] = [];
    const { client } = connect({
      close: async (ms: number) => {
        log.push(`begin ${ms}`);
        await pause(ms);
        log.push(`end ${ms}`);
      },
    });
    await Promise.all([client.host.close(20), client.host.close(1)]);
    expect(log).toEqual(["begin 20", "end 20", "begin 1", "end 1"]);
  });

  it("keeps an error's class and message, also where a bundler renamed the class", async () => {
    const error = Object.assign(new ShapeError("run: rule, got value"), { name: "t" });
    const { client } = connect({
      closeAll: () => {
        throw error;
      },
    });
    const answer = client.host.closeAll();
    await expect(answer).rejects.toThrow(ShapeError);
    await expect(answer).rejects.toThrow("run: rule, got value");
  });

  it("makes anything else that is thrown a SaccadeError, and goes on", async () => {
    let turn = 0;
    const { client } = connect({
      closeAll: () => {
        turn += 1;
        if (turn === 1) throw new TypeError("broken");
        if (turn === 2) throw "text";
      },
    });
    await expect(client.host.closeAll()).rejects.toThrow(new SaccadeError("broken"));
    await expect(client.host.closeAll()).rejects.toThrow(new SaccadeError("text"));
    await expect(client.host.closeAll()).resolves.toBeUndefined();
  });

  it("moves the arrays of a result instead of copying them", async () => {
    const data = Float32Array.of(1, 2);
    const { client, moved } = connect({
      run: () => ({ y: { dtype: "float32", shape: [2], data } }),
    });
    const result = await client.host.run({ sessionId: 1, feeds: {}, fetch: ["y"], into: {} });
    expect(result.y.data).toEqual(data);
    expect(moved).toEqual([data.buffer]);
  });

  it("ends what waits and what comes, once the worker is gone", async () => {
    const client = createHostClient(() => {});
    const waiting = client.host.closeAll();
    client.fail(new SessionClosedError("its thread ended"));
    await expect(waiting).rejects.toThrow(SessionClosedError);
    await expect(client.host.closeAll()).rejects.toThrow("its thread ended");
  });

  it("says how many requests are unanswered, and takes a value that cannot be sent as an error", async () => {
    const replies: WorkerReply[] = [];
    const client = createHostClient(({ id, parameters }) => {
      structuredClone(parameters);
      replies.push({ id, result: id });
    });
    const first = client.host.close(1);
    const second = client.host.close(2);
    await expect(client.host.close((() => 3) as unknown as number)).rejects.toThrow(/clone/);
    expect(replies.map((reply) => client.receive(reply))).toEqual([1, 0]);
    expect(await Promise.all([first, second])).toEqual([1, 2]);
  });
});
