import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as esbuild from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";

const executablePath = process.env.CHROMIUM_PATH ?? "/usr/bin/chromium";

/** Whether a Chromium is installed; prints once per test file why its browser tests are skipped. */
export const hasBrowser = existsSync(executablePath);
if (!hasBrowser) {
  process.stderr.write(`skipped: no Chromium at ${executablePath}; set CHROMIUM_PATH\n`);
}

/**
 * A page in Chromium, in a secure context, that has the exports of a file of src/ as
 * `globalThis.library`. Graphics are drawn in software, so that results do not depend on a card.
 */
export const openPage = async (sourceFile: string): Promise<{ browser: Browser; page: Page }> => {
  const { outputFiles } = await esbuild.build({
    entryPoints: [fileURLToPath(new URL(`../../src/${sourceFile}`, import.meta.url))],
    bundle: true,
    write: false,
    format: "iife",
    globalName: "library",
    platform: "browser",
  });
  const args = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
  const browser = await chromium.launch({ executablePath, args });
  const page = await browser.newPage();
  await page.route("http://localhost/", (route) =>
    route.fulfill({ contentType: "text/html", body: "<!doctype html><title>test</title>" }),
  );
  await page.goto("http://localhost/");
  await page.addScriptTag({ content: outputFiles[0].text });
  return { browser, page };
};
