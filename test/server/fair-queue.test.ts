import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { UploadStore } from "../../src/server/media/upload-store.js";
import { FairQueue } from "../../src/server/serving/fair-queue.js";

describe("a fair queue", () => {
  test("keeps each client's order, and lets nobody be served twice while another waits", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(4), { maxLength: 60 }), (clients) => {
        const queue = new FairQueue<readonly [number, number]>(100);
        clients.forEach((client, index) => {
          queue.push(String(client), [client, index]);
        });
        const served = queue.drain();
        expect(served.length).toBe(clients.length);
        for (const client of new Set(clients)) {
          const own = served.filter(([whose]) => whose === client).map(([, index]) => index);
          expect(own).toEqual([...own].sort((a, b) => a - b));
        }
        served.forEach(([client], place) => {
          const next = served.findIndex(([whose], later) => later > place && whose === client);
          if (next < 0) return;
          // Between two turns of a client, everybody else who waits has one.
          const between = new Set(served.slice(place + 1, next).map(([whose]) => whose));
          const after = new Set(served.slice(next).map(([whose]) => whose));
          for (const other of after) if (other !== client) expect(between.has(other)).toBe(true);
        });
      }),
    );
  });

  test("takes as many as it holds, and lets who leaves go", () => {
    const queue = new FairQueue<string>(2);
    expect([queue.push("a", "1"), queue.push("a", "2"), queue.push("b", "3")]).toEqual([
      true,
      true,
      false,
    ]);
    expect([queue.remove("a", "1"), queue.remove("a", "1"), queue.size]).toEqual([true, false, 1]);
    expect(queue.push("b", "3")).toBe(true);
    expect(queue.drain()).toEqual(["2", "3"]);
    expect(queue.shift()).toBeUndefined();
  });
});

describe("uploads", () => {
  const bytes = (count: number) => new Uint8Array(count);
  const named = { filename: "x.png", purpose: "vision" };

  test("are seen by the client that sent them, up to a bound of bytes and a time", () => {
    let now = 1000;
    const store = new UploadStore({ maxBytes: 100, lifetimeSeconds: 60, now: () => now });
    const first = store.add("a", bytes(40), named);
    const second = store.add("b", bytes(40), { ...named, id: "mine" });
    expect(store.get("b", first?.id ?? "")).toBeUndefined();
    expect(store.get("a", "mine")).toBeUndefined();
    expect(store.get("b", "mine")?.upload).toEqual(second);
    expect(store.delete("a", "mine")).toBe(false);
    // The oldest goes first; one that is too large changes nothing.
    expect(store.add("a", bytes(101), named)).toBeUndefined();
    expect(store.heldBytes).toBe(80);
    store.add("b", bytes(50), named);
    expect([store.list("a").length, store.list("b").length, store.heldBytes]).toEqual([0, 2, 90]);
    store.add("b", bytes(10), { ...named, id: "mine" });
    expect(store.heldBytes).toBe(60);
    now += 60;
    expect([store.list("b"), store.heldBytes]).toEqual([[], 0]);
  });
});
