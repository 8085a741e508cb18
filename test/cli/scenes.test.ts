import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseImageHeader } from "../../src/image/image-header.js";
import { runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
afterAll(folder.remove);

describe("saccade scenes", () => {
  it("writes a data set and says what it holds, the same for the same options", async () => {
    const write = async (name: string) => {
      const out = join(folder.path, name);
      const args = ["--count", "6", "--size", "48", "--kind", "simple,clip", "--split", "test"];
      const { code, stdout } = await runCli(["scenes", out, ...args, "--json"]);
      expect(code).toBe(0);
      const records = JSON.parse(readFileSync(join(out, "scenes.json"), "utf8"));
      expect(JSON.parse(stdout)).toMatchObject({ numScenes: 6, numRecords: records.length });
      expect(readdirSync(join(out, "images"))).toHaveLength(3);
      expect(readdirSync(join(out, "clips"))).toHaveLength(3);
      return records;
    };
    expect(await write("one")).toEqual(await write("other"));
  });

  it("writes a contact sheet and a tokenizer without a data set", async () => {
    const sheet = join(folder.path, "sheet.png");
    const model = join(folder.path, "model");
    const args = ["--sheet", sheet, "--sheet-scenes", "3", "--size", "96", "--tokenizer", model];
    const { code, stdout } = await runCli(["scenes", ...args]);
    expect(code).toBe(0);
    expect(stdout).toContain("3 scenes with their questions");
    expect(parseImageHeader(readFileSync(sheet)).format).toBe("png");
    expect(existsSync(join(model, "tokenizer.json"))).toBe(true);
  });

  it("says what is wrong and how to write it, and leaves nothing", async () => {
    const out = join(folder.path, "never");
    const wrong: [string[], string][] = [
      [[], "name a folder"],
      [[out, "--kind", "video"], "simple, detail, clip"],
      [[out, "--family", "smell"], "presence"],
      [[out, "--count", "0"], "at least 1"],
      [[out, "--size", "3"], "at least 16"],
    ];
    for (const [args, message] of wrong) {
      const { code, stderr } = await runCli(["scenes", ...args]);
      expect(code, args.join(" ")).toBe(2);
      expect(stderr).toContain(message);
    }
    expect(existsSync(out)).toBe(false);
  });
});
