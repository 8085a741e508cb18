import { describe, expect, test } from "vitest";
import { OptionsError } from "../../src/errors.js";
import { startServer } from "../../src/server/index.js";
import { askAbout, dataUrl, randomPng, useServer } from "../support/server.js";
import { useModelFolders } from "../support/tiny-models.js";

const pictures = await Promise.all(
  [1, 2, 3].map(async (seed) => dataUrl(await randomPng(40, 30, seed))),
);
const body = (more: object = {}) => ({
  model: "tiny",
  messages: [{ role: "user", content: "Tell a story." }],
  max_tokens: 8,
  ...more,
});
type Completion = {
  readonly choices: readonly [{ readonly message: { readonly content: string } }];
  readonly usage: { readonly prompt_tokens_details: { readonly cached_tokens: number } };
  readonly error?: { readonly code: string };
};
const read = async (response: Response) => (await response.json()) as Completion;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** The data of every event of a stream. */
const readEvents = async (response: Response): Promise<string[]> =>
  (await response.text())
    .split("\n\n")
    .filter((event) => event.startsWith("data: "))
    .map((event) => event.slice("data: ".length));

describe("many requests at once", () => {
  const server = useServer({ serving: { maxSequences: 4 } });

  test("are answered as each alone: texts, images, streams and some that leave", async () => {
    const requests = Array.from({ length: 12 }, (_, index) =>
      body({
        messages: askAbout(`Question ${index % 5}?`, ...pictures.slice(0, index % 3)),
        temperature: 0.05,
        seed: index,
        max_tokens: 10 + index,
      }),
    );
    const alone: string[] = [];
    for (const request of requests) {
      alone.push(
        (await read(await server.post("/v1/chat/completions", request))).choices[0].message.content,
      );
    }
    const leaving = requests.map(async (request) => {
      const controller = new AbortController();
      const left = fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...request, max_tokens: 400, stream: true }),
        signal: controller.signal,
      })
        .then((response) => response.text())
        .catch(() => "left");
      await pause(20);
      controller.abort();
      return left;
    });
    const together = await Promise.all(
      requests.map(async (request, index) => {
        if (index % 2 === 0) {
          return (await read(await server.post("/v1/chat/completions", request))).choices[0].message
            .content;
        }
        const events = await readEvents(
          await server.post("/v1/chat/completions", { ...request, stream: true }),
        );
        expect(events.at(-1)).toBe("[DONE]");
        return events
          .slice(0, -1)
          .map((event) => JSON.parse(event).choices[0]?.delta.content ?? "")
          .join("");
      }),
    );
    expect(together).toEqual(alone);
    await Promise.all(leaving);
    const [[, pool]] = server.running.models.pools;
    for (let tries = 0; tries < 300 && pool.numRunning + pool.numWaiting > 0; tries += 1)
      await pause(10);
    expect([pool.numRunning, pool.numWaiting]).toEqual([0, 0]);
  });

  test("are counted under the names that dashboards know", async () => {
    const text = await (await fetch(`${server.url}/metrics`)).text();
    for (const name of [
      "num_requests_running",
      "num_requests_waiting",
      "kv_cache_usage_perc",
      "prompt_tokens_total",
      "generation_tokens_total",
      "request_success_total",
      "prefix_cache_queries_total",
      "prefix_cache_hits_total",
      "mm_cache_queries_total",
      "mm_cache_hits_total",
      "time_to_first_token_seconds_bucket",
      "inter_token_latency_seconds_count",
      "e2e_request_latency_seconds_sum",
      "request_queue_time_seconds_count",
      "request_prompt_tokens_count",
      "request_generation_tokens_count",
      "image_tokens_total",
      "images_total",
      "vision_encode_seconds_count",
      "visual_compression_ratio_count",
    ]) {
      expect(text).toMatch(
        new RegExp(`^saccade:${name}\\{.*model_name="tiny".*\\} [0-9.e+-]+$`, "m"),
      );
    }
    const hits = Number(/^saccade:mm_cache_hits_total\{.*\} (\d+)$/m.exec(text)?.[1]);
    expect(hits).toBeGreaterThan(0);
  });

  test("are described by a document, with what is known of tokens", async () => {
    const document = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      openapi: string;
      paths: Readonly<Record<string, object>>;
      components: { schemas: { ChatRequest: { properties: object; required: string[] } } };
    };
    expect(document.openapi).toBe("3.1.0");
    expect(document.components.schemas.ChatRequest.required).toEqual(["model", "messages"]);
    for (const [path, methods] of Object.entries(document.paths)) {
      for (const method of Object.keys(methods)) {
        const url = `${server.url}${path.replace("{id}", "tiny")}`;
        const response = await fetch(url, { method: method.toUpperCase() });
        // Known to the server: refused for its body, answered, or no such file.
        expect([200, 400, 404, 415], `${method} ${path}`).toContain(response.status);
        const files = ["/v1/files/{id}", "/models/{id}/{file}"];
        if (response.status === 404) expect(files).toContain(path);
      }
    }
    const tokenized = await server.post("/tokenize", {
      prompt: "Hello there",
      return_token_strs: true,
    });
    const { count, tokens, token_strs } = (await tokenized.json()) as {
      count: number;
      tokens: readonly number[];
      token_strs: readonly string[];
    };
    expect([tokens.length, token_strs.length]).toEqual([count, count]);
    const bare = await server.post("/tokenize", {
      prompt: "Hello there",
      add_special_tokens: false,
    });
    expect(((await bare.json()) as { tokens: readonly number[] }).tokens).toEqual(tokens.slice(1));
  });

  test("may name an image and ask about it again by the name", async () => {
    const ask = (url: string | null, uuid: string) =>
      server.post(
        "/v1/chat/completions",
        body({
          messages: [
            {
              role: "user",
              content: [
                { type: "image_url", image_url: url === null ? null : { url }, uuid },
                { type: "text", text: "What?" },
              ],
            },
          ],
        }),
      );
    const first = await read(await ask(pictures[0], "one"));
    const again = await read(await ask(null, "one"));
    expect(again.choices[0].message.content).toBe(first.choices[0].message.content);
    expect((await ask(null, "two")).status).toBe(400);
  });
});

describe("a server with little room", () => {
  const server = useServer({
    serving: {
      maxSequences: 1,
      queueCapacity: 1,
      queueTimeoutMs: 400,
      requestTimeoutMs: 1500,
      pingMs: 100,
    },
  });
  const endless = body({ max_tokens: 900, stop_token_ids: [], repetition_penalty: 1.2 });

  test("tells whoever comes too late when to try again, and who waits too long", async () => {
    const controller = new AbortController();
    const send = (signal?: AbortSignal) =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ ...endless, stream: true }),
        ...(signal && { signal }),
      });
    const running = await send(controller.signal);
    const waiting = send();
    await pause(50);
    const refused = await send();
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
    expect((await read(refused)).error?.code).toBe("queue_full");
    const late = await waiting;
    // Slow machines may let the first one end before the second one has waited too long.
    if (late.status !== 200) {
      expect([late.status, (await read(late)).error?.code]).toEqual([503, "queue_timeout"]);
    }
    controller.abort();
    await running.text().catch(() => {});
  });

  test("has room again when a client leaves", async () => {
    const response = await server.post("/v1/chat/completions", body());
    expect(response.status).toBe(200);
  });
});

describe("an answer that takes too long", () => {
  const server = useServer({ serving: { requestTimeoutMs: 150, pingMs: 20 } });

  test("ends with an error, in a stream and outside of one", async () => {
    // Drawn tokens may happen to end an answer; the likeliest ones of this model go on.
    const endless = body({ max_tokens: 900, temperature: 0 });
    const whole = await server.post("/v1/chat/completions", endless);
    expect([whole.status, (await read(whole)).error?.code]).toEqual([504, "request_timeout"]);
    const stream = await server.post("/v1/chat/completions", { ...endless, stream: true });
    if (stream.status === 200) {
      const events = await readEvents(stream);
      expect(events.at(-1)).toBe("[DONE]");
      expect(JSON.parse(events.at(-2) ?? "").error.code).toBe("request_timeout");
    } else {
      expect(stream.status).toBe(504);
    }
  });
});

describe("a worker that dies", () => {
  const server = useServer({ serving: { workersPerModel: 2, maxSequences: 1 } });

  test("fails its request; the others finish, and it comes back", async () => {
    const [[, pool]] = server.running.models.pools;
    for (let tries = 0; tries < 500 && pool.numReady < 2; tries += 1) await pause(10);
    const long = body({ max_tokens: 700, repetition_penalty: 1.3, stream: true });
    const [first, second] = [
      await server.post("/v1/chat/completions", long),
      await server.post("/v1/chat/completions", long),
    ];
    const waiting = server.post("/v1/chat/completions", body());
    expect(pool.numRunning).toBe(2);
    const [killed] = pool.threads;
    await killed.terminate();
    const endings = await Promise.all(
      [first, second].map(async (response) => {
        const events = await readEvents(response);
        expect(events.at(-1)).toBe("[DONE]");
        const last = JSON.parse(events.at(-2) ?? "");
        return last.error?.code ?? last.choices[0].finish_reason;
      }),
    );
    expect(endings.filter((ending) => ending === "worker_lost").length).toBe(1);
    expect(endings.filter((ending) => ending === "length" || ending === "stop").length).toBe(1);
    expect((await waiting).status).toBe(200);
    for (let tries = 0; tries < 1000 && pool.numReady < 2; tries += 1) await pause(10);
    expect(pool.numReady).toBe(2);
    const answers = await Promise.all(
      [1, 2, 3, 4].map(() => server.post("/v1/chat/completions", body())),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
  });
});

describe("several models", () => {
  const folders = useModelFolders();

  test("share a bound of memory: the one that rests makes room, one that is too large is refused", async () => {
    const models = { a: await folders.write("llava-pad"), b: await folders.write("mini-1") };
    const load = { threads: 1, featureCacheBytes: 1e6, prefixCacheBytes: 1e6 };
    const options = { models, port: 0, load };
    const probe = await startServer(options);
    const [a, b] = probe.models.entries.map(({ memoryBytes }) => memoryBytes);
    await probe.close();
    const serving = { maxModelBytes: Math.max(a, b) + 1 };
    const server = await startServer({ ...options, serving });
    await server.ready;
    const ask = (model: string) =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body({ model })),
      });
    for (const name of ["a", "b", "a"]) {
      expect((await ask(name)).status).toBe(200);
      expect(server.models.pools.map(([loaded]) => loaded)).toEqual([name]);
      expect(server.models.loadedBytes).toBeLessThanOrEqual(serving.maxModelBytes);
    }
    await server.close();
    await expect(
      startServer({ ...options, serving: { maxModelBytes: Math.min(a, b) - 1 } }),
    ).rejects.toThrow(OptionsError);
  });

  test("that cannot be loaded say why, and nothing stays open", async () => {
    const folder = await folders.write("llava-pad", (tensors) => {
      tensors.delete("model.norm.weight");
    });
    const server = await startServer({ models: { broken: folder }, port: 0, load: { threads: 1 } });
    expect((await fetch(`${server.url}/health`)).status).toBe(503);
    await expect(server.ready).rejects.toThrow(/model\.norm\.weight/);
    await server.close();
  });
});
