const encoder = new TextEncoder();

/** One server-sent event; the data is one line of JSON. */
export const eventText = (data: object | string, event?: string): string =>
  `${event === undefined ? "" : `event: ${event}\n`}data: ${typeof data === "string" ? data : JSON.stringify(data)}\n\n`;

/** Comment lines keep proxies from closing a stream that is quiet. */
const pingText = ": ping\n\n";

/**
 * A response that streams texts as they come. A reader that is slow slows the source down; one that
 * leaves ends it (`onLeave`). Texts end; they do not throw.
 */
export const eventStream = (
  texts: AsyncGenerator<string, void>,
  { pingMs, onLeave }: { readonly pingMs: number; readonly onLeave: () => void },
): Response => {
  let next: Promise<IteratorResult<string, void>> | undefined;
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      next ??= texts.next();
      let timer: NodeJS.Timeout | undefined;
      const quiet = new Promise<undefined>((resolve) => {
        timer = setTimeout(() => resolve(undefined), pingMs);
      });
      const result = await Promise.race([next, quiet]);
      clearTimeout(timer);
      if (result === undefined) {
        controller.enqueue(encoder.encode(pingText));
        return;
      }
      next = undefined;
      if (result.done) controller.close();
      else controller.enqueue(encoder.encode(result.value));
    },
    async cancel() {
      onLeave();
      await texts.return();
    },
  });
  return new Response(body, {
    headers: {
      "content-type": "text/event-stream; charset=utf-8",
      "cache-control": "no-cache, no-transform",
      "x-accel-buffering": "no",
    },
  });
};
