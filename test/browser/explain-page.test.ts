/** The page of `saccade explain` in Chromium: what it shows is what the library measured. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { Browser, Page } from "playwright-core";
import { chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { findChromium } from "../../scripts/chromium.mjs";
import { type Explanation, explainAnswer } from "../../src/analyze/explanation.js";
import { writeExplainPage } from "../../src/cli/explain-page/explain-page.js";
import {
  type Format,
  formatShare,
  formatValue,
  valueAt,
} from "../../src/cli/explain-page/shown-values.js";
import { toDataAddress } from "../../src/cli/picture-address.js";
import { writeNewModel } from "../../src/load/new-model.node.js";
import type { PresetName } from "../../src/load/presets.js";
import { loadModel } from "../../src/node.js";
import { hasChromium } from "../support/chromium-page.js";
import { randomImage } from "../support/tiny-models.js";

const presets = ["tiny-llava", "tiny-llava-mini", "tiny-avg-llava", "tiny-llava-uhd"] as const;
/** What a page must not take for markup. */
const question = `</script><script>globalThis.broken=1</script> "what" & <b>'where'</b>?`;

let scratch = "";
let browser: Browser;
let axe: string;
const explained = new Map<PresetName, { explanation: Explanation; path: string }>();
const get = (preset: PresetName) =>
  explained.get(preset) as { explanation: Explanation; path: string };

beforeAll(async () => {
  if (!hasChromium) return;
  scratch = await mkdtemp(join(tmpdir(), "saccade-explain-"));
  axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const image = randomImage(150, 100, 3);
  for (const preset of presets) {
    const { path: folder } = await writeNewModel(join(scratch, preset), preset, 1);
    const model = await loadModel(folder, { threads: 1 });
    const explanation = await explainAnswer(model, image, question, { maxTokens: 4 });
    await model.close();
    const path = join(scratch, `${preset}.html`);
    await writeFile(path, writeExplainPage(explanation, await toDataAddress(image)));
    explained.set(preset, { explanation, path });
  }
  browser = await chromium.launch({
    executablePath: findChromium() ?? "",
    args: ["--headless", "--no-sandbox", "--disable-gpu"],
  });
}, 180_000);
afterAll(async () => {
  await browser?.close();
  if (scratch !== "") await rm(scratch, { recursive: true });
});

describe.skipIf(!hasChromium).each(presets)("the page of %s", (preset) => {
  let page: Page;
  /** What the page complains of, and what it asks for. */
  const said: string[] = [];
  const asked: string[] = [];
  beforeAll(async () => {
    page = await browser.newPage({ viewport: { width: 900, height: 800 }, colorScheme: "light" });
    page.on("console", (message) => said.push(message.text()));
    page.on("pageerror", (error) => said.push(String(error)));
    page.on("request", (request) => asked.push(request.url()));
    await page.goto(pathToFileURL(get(preset).path).href);
  }, 60_000);
  afterAll(() => page?.close());

  it("holds the explanation, says nothing, and asks for nothing but itself", async () => {
    const held = await page.locator("#explanation").textContent();
    expect(JSON.parse(held ?? "")).toEqual(get(preset).explanation);
    expect(said).toEqual([]);
    expect(asked).toEqual([pathToFileURL(get(preset).path).href]);
    expect(await page.locator("h1").textContent()).toBe(question);
    expect(await page.evaluate(() => "broken" in globalThis)).toBe(false);
  });

  it("shows numbers that are the library's", async () => {
    const shown = await page.locator("data[data-path]").evaluateAll((all) =>
      all.map((element) => {
        const { path = "", format = "" } = (element as HTMLElement).dataset;
        return { path, format, text: element.textContent };
      }),
    );
    const { explanation } = get(preset);
    expect(shown.length).toBeGreaterThan(60);
    const named = new Set(shown.map(({ path }) => path));
    for (const path of ["usage.imageTokens", "cost.flops.total", "dropping.everywhere.answerLoss"])
      expect(named).toContain(path);
    for (const { path, format, text } of shown) {
      const value = valueAt(explanation, path);
      expect(value === null || typeof value === "number", path).toBe(true);
      expect(text, path).toBe(formatValue(value, format as Format));
    }
  });

  it("draws the map that is chosen, by keyboard too", async () => {
    const { heatMaps } = get(preset).explanation;
    for (const [name, maps] of Object.entries(heatMaps)) {
      const form = page.locator(`form[data-maps=${name}]`);
      const radios = form.locator("input[name=looker]");
      const before = await form.locator("input[name=looker]:checked").getAttribute("value");
      await radios.nth(Number(before)).focus();
      await page.keyboard.press("ArrowRight");
      const looker = Number(await form.locator("input[name=looker]:checked").getAttribute("value"));
      expect(looker).toBe((Number(before) + 1) % maps.lookers.length);
      await form.locator("select").selectOption("1");
      const share = formatShare(maps.shares[1][looker]);
      expect(await form.locator("output").textContent()).toContain(`${share} of its attention`);
      const values = maps.values[1][looker];
      const cells = await form.locator("rect[data-place]").evaluateAll((all) =>
        all.map((cell) => {
          const { dataset, style } = cell as SVGRectElement;
          return { place: Number(dataset.place), opacity: Number(style.fillOpacity) };
        }),
      );
      const drawable = maps.origins.flatMap(({ cell }, place) => (cell ? [place] : []));
      expect(cells.map(({ place }) => place).sort((a, b) => a - b)).toEqual(drawable);
      const most = Math.max(...values);
      for (const { place, opacity } of cells) {
        expect(opacity).toBeCloseTo((0.85 * values[place]) / most, 2);
      }
    }
    expect(said).toEqual([]);
  });

  it.each([
    [900, "light"],
    [360, "dark"],
  ] as const)(
    "has no serious fault for axe and fits, %i pixels wide, %s",
    async (width, scheme) => {
      await page.setViewportSize({ width, height: 800 });
      await page.emulateMedia({ colorScheme: scheme });
      const isClosed = "details:not([open]) > summary";
      while ((await page.locator(isClosed).count()) > 0)
        await page.locator(isClosed).first().click();
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
      // The page allows itself no script from elsewhere; this one comes by way of the debugger.
      await page.evaluate(axe);
      const faults = await page.evaluate(async () => {
        type Violation = { id: string; impact: string; nodes: { html: string }[] };
        const { axe: tool } = globalThis as unknown as {
          axe: { run(): Promise<{ violations: Violation[] }> };
        };
        const { violations } = await tool.run();
        return violations
          .filter(({ impact }) => impact === "serious" || impact === "critical")
          .map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      });
      expect(faults).toEqual([]);
    },
  );
});
