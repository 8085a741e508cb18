/** The web page as a person uses it, in a real browser against a real server. */
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { type Browser, chromium, type Locator, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium } from "../../scripts/chromium.mjs";
import { type RunningServer, startServer } from "../../src/server/index.js";
import { hasChromium } from "../support/chromium-page.js";
import { fixturePath } from "../support/recorded-preprocessing.js";
import { askAbout, dataUrl, hookTimeoutMs, randomPng } from "../support/server.js";
import { useModelFolders } from "../support/tiny-models.js";

const apiKey = "open sesame";
const folders = useModelFolders();
let server: RunningServer;
let browser: Browser;
let page: Page;
let picture: Buffer;
let axe: string;

/** A page that has been told the key. */
const openPage = async (size = { width: 1200, height: 900 }): Promise<Page> => {
  const opened = await browser.newPage({ viewport: size });
  await opened.goto(server.url);
  await opened.getByLabel("API key").fill(apiKey);
  await opened.getByRole("button", { name: "Continue" }).click();
  await opened.getByLabel("Model", { exact: true }).waitFor({ state: "attached" });
  return opened;
};

beforeAll(async () => {
  if (!hasChromium) return;
  picture = await randomPng(100, 60);
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const models = { avg: await folders.write("avg"), mini: await folders.write("mini-1") };
  const shared = { sharedModels: Object.keys(models), apiKeys: [apiKey] };
  server = await startServer({ port: 0, models, ...shared, load: { threads: 1 } });
  await server.ready;
  const args = ["--no-sandbox", "--disable-gpu"];
  browser = await chromium.launch({ executablePath: findChromium() ?? "", args });
  page = await openPage();
}, 4 * hookTimeoutMs);
afterAll(async () => {
  await browser?.close();
  await server?.close();
}, hookTimeoutMs);

/** What the server answers to the same question, asked without the page. */
const askServer = async (model: string, text: string, look: object = {}) => {
  const response = await fetch(`${server.url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json", authorization: `Bearer ${apiKey}` },
    body: JSON.stringify({
      model,
      messages: askAbout(text, dataUrl(picture)),
      mm_processor_kwargs: look,
      max_completion_tokens: 24,
    }),
  });
  return (await response.json()) as {
    choices: [{ message: { content: string } }];
    usage: { prompt_tokens_details: { image_tokens: number } };
    vision: { media: [{ views: { box: object | null }[] }] };
  };
};

const dropPicture = async (on: Page, name = "dots.png"): Promise<void> => {
  const dropped = await on.evaluateHandle(
    ([bytes, fileName]) => {
      const transfer = new DataTransfer();
      const data = Uint8Array.from(bytes);
      transfer.items.add(new File([data], fileName, { type: "image/png" }));
      return transfer;
    },
    [[...picture], name] as const,
  );
  await on.dispatchEvent("body", "drop", { dataTransfer: dropped });
  await on.getByRole("button", { name: `Remove ${name}` }).waitFor();
};

const setLongestAnswer = async (on: Page, tokens: number): Promise<void> => {
  await on.getByRole("button", { name: "Settings" }).click();
  await on.getByLabel("Longest answer").fill(String(tokens));
  await on.getByRole("button", { name: "Close" }).click();
};

/** Asks with the Enter key and returns the answers when all have ended. */
const ask = async (on: Page, text: string): Promise<Locator> => {
  await on.locator("#question").fill(text);
  await on.keyboard.press("Enter");
  const turn = on.locator(".turn").last();
  await turn.getByRole("heading", { name: text }).waitFor();
  await on.waitForFunction(() => document.querySelector(".answer.running") === null);
  return turn;
};

/** The page has as long as a slow machine needs. */
const poll = <Value>(read: () => Promise<Value>) => expect.poll(read, { timeout: 30_000 });

const newConversation = (on: Page) => on.getByRole("button", { name: "New conversation" }).click();

/** What axe calls serious or critical. */
const findFaults = async (on: Page): Promise<string[]> => {
  await on.evaluate(axe);
  return on.evaluate(async () => {
    type Axe = {
      run(): Promise<{
        violations: {
          id: string;
          impact: string;
          nodes: { html: string; failureSummary: string }[];
        }[];
      }>;
    };
    const { violations } = await (globalThis as unknown as { axe: Axe }).axe.run();
    return violations
      .filter(({ impact }) => impact === "serious" || impact === "critical")
      .map(
        ({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.html} ${node.failureSummary}`)}`,
      );
  });
};

describe.skipIf(!hasChromium)("the page", () => {
  it("streams the server's answer to a dropped image, with its tokens and views drawn over it", async () => {
    await setLongestAnswer(page, 24);
    await dropPicture(page);
    const plan = page.getByTestId("plan");
    await poll(() => plan.textContent()).toMatch(/^up to \d+ tokens of vision/);
    await page.evaluate(() => {
      const seen = new Set<number>();
      Object.assign(globalThis, { seenLengths: seen });
      new MutationObserver(() => {
        const text = document.querySelector(".answer-text")?.textContent ?? "";
        if (text !== "") seen.add(text.length);
      }).observe(document.body, { subtree: true, childList: true, characterData: true });
    });
    const turn = await ask(page, "What is this?");
    const expected = await askServer("avg", "What is this?");
    expect(await turn.getByTestId("answer").textContent()).toBe(
      expected.choices[0].message.content,
    );
    const numSteps = await page.evaluate(
      () => (globalThis as unknown as { seenLengths: Set<number> }).seenLengths.size,
    );
    expect(numSteps).toBeGreaterThan(2);
    const tokens = expected.usage.prompt_tokens_details.image_tokens;
    expect(await turn.getByTestId("vision-tokens").textContent()).toBe(`${tokens} tokens`);
    const drawn = expected.vision.media[0].views.filter(({ box }) => box !== null).length;
    expect(await turn.locator(".views .view").count()).toBe(drawn);
    expect(drawn).toBeGreaterThan(2);
    for (const name of ["Vision", "Prompt", "Compute", "First token", "Memory"]) {
      expect(await turn.locator("dt", { hasText: name }).count(), name).toBe(1);
    }
    expect(await turn.getByText("The router chose").count()).toBe(1);
    expect(await page.evaluate(() => document.activeElement?.id)).toBe("question");
  });

  it("takes fewer tokens when the budget is smaller, before and after asking", async () => {
    await newConversation(page);
    await dropPicture(page);
    const plan = page.getByTestId("plan");
    const budget = page.getByRole("group", { name: "Tokens of a view" });
    await budget.getByLabel("16", { exact: true }).check();
    await poll(() => plan.textContent()).toMatch(/^\d+ tokens of vision/);
    const most = Number.parseInt((await plan.textContent()) ?? "", 10);
    await budget.getByLabel("1", { exact: true }).check();
    const tokensNow = async () => Number.parseInt((await plan.textContent()) ?? "", 10);
    await poll(tokensNow).toBeLessThan(most);
    const planned = await tokensNow();
    const turn = await ask(page, "What is this?");
    const expected = await askServer("avg", "What is this?", { granularity: 1 });
    expect(planned).toBe(expected.usage.prompt_tokens_details.image_tokens);
    expect(await turn.getByTestId("vision-tokens").textContent()).toBe(`${planned} tokens`);
  });

  it("answers in the browser with the server's words, and asks the server for none", async () => {
    await newConversation(page);
    await page.getByRole("group", { name: "Tokens of a view" }).getByLabel("Auto").check();
    await page.getByLabel("Answers", { exact: true }).selectOption("wasm");
    await page.getByText("this model answers without the server").waitFor();
    const asked: string[] = [];
    page.on("request", (request) => asked.push(`${request.method()} ${request.url()}`));
    await dropPicture(page);
    await poll(() => page.getByTestId("plan").textContent()).toMatch(/tokens of vision/);
    const turn = await ask(page, "What is this?");
    expect(asked.filter((line) => line.startsWith("POST"))).toEqual([]);
    page.removeAllListeners("request");
    const expected = await askServer("avg", "What is this?");
    expect(await turn.getByTestId("answer").textContent()).toBe(
      expected.choices[0].message.content,
    );
    const tokens = expected.usage.prompt_tokens_details.image_tokens;
    expect(await turn.getByTestId("vision-tokens").textContent()).toBe(`${tokens} tokens`);
    expect(await turn.locator(".views .view").count()).toBeGreaterThan(2);
  });

  it("asks two systems side by side, one of them in the browser", async () => {
    await newConversation(page);
    await page.getByRole("button", { name: "Side by side" }).click();
    await dropPicture(page);
    const turn = await ask(page, "What is this?");
    const answers = await turn.getByTestId("answer").allTextContents();
    const models = await turn.getByRole("heading", { level: 3 }).allTextContents();
    expect(models).toEqual(["avg", "mini"]);
    for (const [index, model] of models.entries()) {
      const expected = await askServer(model, "What is this?");
      expect(answers[index]).toBe(expected.choices[0].message.content);
    }
    const tokens = await turn.getByTestId("vision-tokens").allTextContents();
    expect(tokens[1]).toBe("1 token");
    await page.getByRole("button", { name: "Side by side" }).click();
    await page.getByLabel("Answers", { exact: true }).selectOption("server");
  });

  it("stops an answer when it is told to", async () => {
    const opened = await openPage();
    // Pieces of the answer come slowly: a tiny model has ended before a hand is at the button.
    await opened.evaluate(() => {
      const fetchAtOnce = globalThis.fetch;
      globalThis.fetch = async (...request) => {
        const response = await fetchAtOnce(...request);
        const isStream = response.headers.get("content-type")?.startsWith("text/event-stream");
        if (!isStream || response.body === null) return response;
        const slowed = new TransformStream<Uint8Array, Uint8Array>({
          transform: async (piece, controller) => {
            await new Promise((resolve) => setTimeout(resolve, 200));
            controller.enqueue(piece);
          },
        });
        return new Response(response.body.pipeThrough(slowed), response);
      };
    });
    await setLongestAnswer(opened, 900);
    await opened.locator("#question").fill("Tell a very long story.");
    await opened.getByRole("button", { name: "Ask", exact: true }).click();
    await opened.waitForFunction(
      () => (document.querySelector(".answer-text")?.textContent ?? "") !== "",
    );
    await opened.getByRole("button", { name: "Stop" }).press("Enter");
    await opened.locator(".answer.stopped").waitFor();
    await opened.getByRole("button", { name: "Ask", exact: true }).waitFor();
    await opened.close();
  });

  it("looks at the frames of a video, on the server and in the browser", async () => {
    await newConversation(page);
    await page.getByLabel("Model", { exact: true }).selectOption("mini");
    for (const place of ["server", "wasm"]) {
      await newConversation(page);
      await page.getByLabel("Answers", { exact: true }).selectOption(place);
      await page.setInputFiles("#files", fixturePath("video/clip.webm"));
      await poll(() => page.getByTestId("plan").textContent()).toMatch(/tokens? of vision/);
      const turn = await ask(page, `What happens? (${place})`);
      expect(await turn.getByRole("alert").count()).toBe(0);
      const seen = await turn.locator(".medium-text").textContent();
      const [, sampled] = /(\d+) of \d+ frames/.exec(seen ?? "") ?? [];
      expect(seen, place).toMatch(new RegExp(`^${sampled} token`));
      expect(await turn.locator(".views .view").count()).toBeGreaterThan(0);
    }
    await page.getByLabel("Model", { exact: true }).selectOption("avg");
  }, 120_000);

  it("tells what the server refuses, and goes on", async () => {
    await newConversation(page);
    await page.getByLabel("Model", { exact: true }).selectOption("mini");
    await dropPicture(page, "first.png");
    await dropPicture(page, "second.png");
    await poll(() => page.getByTestId("plan").textContent()).toMatch(/takes 1 image/);
    const turn = await ask(page, "Both?");
    expect(await turn.getByRole("alert").textContent()).toMatch(/takes 1 image or video/);
    await newConversation(page);
    expect(await (await ask(page, "Hello?")).getByTestId("answer").textContent()).not.toBe("");
    await page.getByLabel("Model", { exact: true }).selectOption("avg");
  });

  it("keeps conversations over a reload, exports them, and forgets those that are deleted", async () => {
    await newConversation(page);
    await dropPicture(page);
    const answer = await (await ask(page, "Remember this?")).getByTestId("answer").textContent();
    // Another question may be asked once the answer is kept.
    await page.getByRole("button", { name: "Ask", exact: true }).waitFor();
    await page.reload();
    const history = page.getByRole("navigation", { name: "Conversations" });
    await history.getByRole("button", { name: "Remember this?", exact: true }).click();
    expect(await page.getByTestId("answer").textContent()).toBe(answer);
    expect(await page.locator(".views .view").count()).toBeGreaterThan(2);
    await page.waitForFunction(
      () => (document.querySelector(".seen img") as HTMLImageElement | null)?.naturalWidth === 100,
    );

    const downloading = page.waitForEvent("download");
    await history.getByRole("button", { name: "Export" }).click();
    const file = await (await downloading).path();
    const exported = JSON.parse(await readFile(file, "utf8")) as {
      conversations: { title: string; turns: { media: { url: string }[] }[] }[];
    };
    const [latest] = exported.conversations;
    expect(latest.title).toBe("Remember this?");
    expect(latest.turns[0].media[0].url).toBe(dataUrl(picture));

    await history.getByRole("button", { name: "Delete Remember this?" }).click();
    await page.getByText("Ask an image, see what it cost").waitFor();
    await page.reload();
    await history.getByRole("button", { name: "New conversation" }).waitFor();
    expect(await history.getByRole("button", { name: "Remember this?" }).count()).toBe(0);
  });

  it("can be used by keyboard alone: everything is reached and seen, dialogues give the focus back", async () => {
    await page.reload();
    await page.getByLabel("Model", { exact: true }).waitFor();
    const reached: string[] = [];
    const unseen: string[] = [];
    for (let step = 0; step < 40; step += 1) {
      await page.keyboard.press("Tab");
      const [name, isSeen] = await page.evaluate(() => {
        const focused = document.activeElement;
        if (!(focused instanceof HTMLElement) || focused === document.body) return ["", true];
        // A question's frame and a choice's name show the focus for what they hold.
        const shown = focused.matches("[type=radio]") ? focused.nextElementSibling : focused;
        const { outlineStyle, outlineWidth } = getComputedStyle(shown ?? focused);
        const hasOutline = outlineStyle !== "none" && Number.parseFloat(outlineWidth) >= 1;
        return [focused.id || focused.textContent || "?", hasOutline || focused.id === "question"];
      });
      if (name === "") break;
      reached.push(String(name).trim());
      if (!isSeen) unseen.push(String(name));
    }
    expect(unseen).toEqual([]);
    const order = ["Skip to the question", "Side by side", "Settings", "New conversation"];
    expect(reached.filter((name) => order.includes(name))).toEqual(order);
    expect(reached).toContain("question");
    expect(reached).toContain("Camera");
    await page.getByRole("button", { name: "Settings" }).focus();
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Settings");
  });

  it.each([
    ["light", 1200],
    ["dark", 1200],
    ["dark", 390],
  ] as const)("has no serious fault for axe: %s, %i pixels wide", async (colorScheme, width) => {
    const opened = await openPage({ width, height: 840 });
    // Colours that change slowly would be measured half way.
    await opened.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    // A phone has no room for the controls until they are asked for.
    const closed = opened.locator(".lane:not([open]) > summary");
    expect(await closed.count()).toBe(width < 768 ? 1 : 0);
    if (width < 768) await closed.click();
    const faults = [...(await findFaults(opened))];
    await opened.getByRole("button", { name: "Side by side" }).click();
    await dropPicture(opened);
    await poll(() => opened.getByTestId("plan").first().textContent()).toMatch(/vision/);
    faults.push(...(await findFaults(opened)));
    await ask(opened, "What is this?");
    faults.push(...(await findFaults(opened)));
    const overflow = await opened.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    await opened.getByRole("button", { name: "Settings" }).click();
    faults.push(...(await findFaults(opened)));
    await opened.close();
    expect(faults).toEqual([]);
    expect(overflow).toBe(0);
  });

  it("asks for the key again when it is wrong", async () => {
    const opened = await browser.newPage();
    await opened.goto(server.url);
    await opened.getByLabel("API key").fill("guess");
    await opened.getByRole("button", { name: "Continue" }).click();
    await opened.getByText("does not know that key").waitFor();
    await opened.getByLabel("API key").fill(apiKey);
    await opened.getByRole("button", { name: "Continue" }).click();
    await opened.getByLabel("Model", { exact: true }).waitFor();
    await opened.close();
  });
});
