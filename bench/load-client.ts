/** Requests of every kind, for loading a server: what each expects, and what it got. */
import { request as requestHttp } from "node:http";

export type Outcome = {
  readonly kind: string;
  /** `left` when the client went on purpose, `broken` when the connection ended before the answer. */
  readonly status: number | "left" | "broken";
  readonly tokens: number;
  readonly ms: number;
  /** What was wrong with an answer that had a status. */
  readonly fault?: string;
};

export type LoadRequest = {
  readonly kind: string;
  readonly body: string;
  /** Statuses that are right; 429 and 503 (`queue_timeout`) always are. */
  readonly expected: readonly number[];
  readonly isStream: boolean;
  /** Leaves after so many milliseconds. */
  readonly leavesAfterMs?: number;
};

const tokensIn = (text: string): number => Number(/"completion_tokens":(\d+)/.exec(text)?.[1] ?? 0);

/** What is wrong with an answer, if anything. */
const faultOf = ({ expected, isStream }: LoadRequest, status: number, text: string) => {
  if (status === 429 || status === 503) return undefined;
  if (!expected.includes(status)) return `status ${status}: ${text.slice(0, 200)}`;
  if (status >= 400) return text.startsWith('{"error":{') ? undefined : "no error body";
  if (!isStream) return text.endsWith("}") ? undefined : "cut off";
  if (!text.endsWith("data: [DONE]\n\n")) return "the stream has no end";
  return text.includes('"error":') ? `error in the stream: ${text.slice(-300)}` : undefined;
};

export const send = (url: string, asked: LoadRequest): Promise<Outcome> =>
  new Promise((resolve) => {
    const startedMs = performance.now();
    const { kind, body, leavesAfterMs } = asked;
    const end = (outcome: Omit<Outcome, "kind" | "ms">): void =>
      resolve({ kind, ms: performance.now() - startedMs, ...outcome });
    const headers = {
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
    };
    let hasLeft = false;
    const request = requestHttp(
      `${url}/v1/chat/completions`,
      { method: "POST", headers, agent: false },
      (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (part: string) => {
          text += part;
        });
        response.on("end", () => {
          const status = response.statusCode ?? 0;
          const fault = faultOf(asked, status, text);
          end({ status, tokens: tokensIn(text), ...(fault !== undefined && { fault }) });
        });
        response.on("error", () => end({ status: hasLeft ? "left" : "broken", tokens: 0 }));
      },
    );
    request.on("error", () => end({ status: hasLeft ? "left" : "broken", tokens: 0 }));
    request.end(body);
    if (leavesAfterMs !== undefined) {
      setTimeout(() => {
        hasLeft = true;
        request.destroy();
      }, leavesAfterMs);
    }
  });

export type LoadSource = { readonly model: string; readonly pictures: readonly string[] };

/** The `index`-th request of a mix: images, texts, streams, conversations, leavers and bad ones. */
export const makeRequest = ({ model, pictures }: LoadSource, index: number): LoadRequest => {
  const picture = pictures[index % pictures.length];
  const image = { type: "image_url", image_url: { url: picture } };
  const text = { type: "text", text: `What is number ${index % 97} in the picture?` };
  const ask = (content: unknown, more: object = {}) =>
    JSON.stringify({
      model,
      messages: [{ role: "user", content }],
      max_tokens: 16 + (index % 5) * 8,
      temperature: 1,
      seed: index,
      ...more,
    });
  const whole = { expected: [200], isStream: false };
  const stream = { stream: true, stream_options: { include_usage: true } };
  switch (index % 10) {
    case 0:
    case 1:
    case 2:
      return { kind: "image", body: ask([image, text]), ...whole };
    case 3:
    case 4:
      return { kind: "text", body: ask(`Tell me about ${index % 89}.`), ...whole };
    case 5:
    case 6:
      return { kind: "stream", body: ask([image, text], stream), expected: [200], isStream: true };
    case 7:
      return {
        kind: "leaver",
        body: ask([image, text], { ...stream, max_tokens: 400 }),
        expected: [200],
        isStream: true,
        leavesAfterMs: 5 + (index % 200),
      };
    case 8: {
      const broken = [
        "{",
        ask("x", { temperature: -1 }),
        ask("x", { model: "none" }),
        ask([{ type: "image_url", image_url: { url: "data:image/png;base64,AAAA" } }]),
        ask([{ type: "image_url", image_url: { url: "http://169.254.169.254/" } }]),
        ask("long ".repeat(20_000)),
      ];
      const body = broken[Math.floor(index / 10) % broken.length];
      return { kind: "bad", body, expected: [400, 403, 404], isStream: false };
    }
    default:
      return {
        kind: "conversation",
        body: JSON.stringify({
          model,
          max_tokens: 16,
          messages: [
            { role: "user", content: [image, text] },
            { role: "assistant", content: "Something." },
            { role: "user", content: "Are you sure?" },
          ],
        }),
        ...whole,
      };
  }
};
