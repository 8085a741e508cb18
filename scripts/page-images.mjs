// `node scripts/page-images.mjs [model …]`: takes the README's pictures of the web page, light and dark,
// with the first two of the models (default: the embedded ones), and writes them to docs/images.
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";
import sharp from "sharp";
import { root } from "./build-inputs.mjs";
import { findChromium } from "./chromium.mjs";

const { startServer } = await import(join(root, "dist/server/index.js"));
const { listEmbeddedModels } = await import(join(root, "dist/weights/embedded-models.node.js"));

const given = process.argv.slice(2);
const embedded = (await listEmbeddedModels()).map(({ name }) => name);
const names = given.length > 0 ? given : embedded;
const models = Object.fromEntries(names.map((name) => [name.split("/").at(-1), name]));
const server = await startServer({ port: 0, models });
await server.ready;
const browser = await chromium.launch({
  executablePath: findChromium(),
  args: ["--no-sandbox", "--disable-gpu"],
});

const askExample = async (page, example) => {
  await page.getByRole("button", { name: example }).click();
  await page.getByTestId("plan").first().getByText("of vision").waitFor();
  await page.getByRole("button", { name: "Ask", exact: true }).click();
  await page.locator(".answer").first().waitFor();
  await page.waitForFunction(() => document.querySelector(".answer.running") === null);
  await page.locator(".turn").scrollIntoViewIfNeeded();
  await page.waitForTimeout(500);
};

/** Takes a picture and writes it with a palette, which such flat pages need no more than. */
const take = async (page, name) => {
  const path = join(root, "docs/images", `${name}.png`);
  mkdirSync(join(root, "docs/images"), { recursive: true });
  const picture = sharp(await page.screenshot());
  await picture.png({ palette: true, colours: 192, effort: 10, compressionLevel: 9 }).toFile(path);
  console.log(`${path}: ${statSync(path).size} bytes`);
};

try {
  const wide = await browser.newPage({
    viewport: { width: 1280, height: 1020 },
    colorScheme: "light",
  });
  await wide.goto(server.url);
  if (Object.keys(models).length > 1) {
    await wide.getByRole("button", { name: "Side by side" }).click();
  }
  await askExample(wide, "What is on the red tile?");
  await take(wide, "page-light");
  const phone = await browser.newPage({
    viewport: { width: 390, height: 844 },
    deviceScaleFactor: 1.5,
    colorScheme: "dark",
  });
  await phone.goto(server.url);
  await askExample(phone, "What colour is the cross?");
  await take(phone, "page-phone-dark");
} finally {
  await browser.close();
  await server.close();
}
