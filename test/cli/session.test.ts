import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyModel, fixture, runCli, runShell, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
const image = fixture("preprocess-clip", "image2_640x480_rgb.png");
let model = "";
let long = "";
beforeAll(async () => {
  model = copyModel(join(folder.path, "model"));
  long = join(folder.path, "long");
  await runCli(["init", long, "--preset", "tiny-llava"]);
});
afterAll(folder.remove);

describe("saccade chat through a pipe", () => {
  const chat = (lines: string[], ...args: string[]) =>
    runCli(["chat", model, "--max-tokens", "4", ...args], { input: lines.join("\n") });

  it("answers line by line, and the first answer is that of `ask`", async () => {
    const { code, stdout } = await chat(["What?", "And then?"], "--image", image);
    const asked = await runCli(["ask", model, "--max-tokens", "4", "--image", image, "What?"]);
    expect(code).toBe(0);
    expect(stdout.startsWith(asked.stdout)).toBe(true);
    expect(stdout.length).toBeGreaterThan(asked.stdout.length);
  });

  it("attaches with /image what the flag attaches, and forgets with /reset", async () => {
    const flagged = await chat(["What?"], "--image", image);
    const plain = await chat(["What?"]);
    const attached = await chat([`/image ${image}`, "What?", "/reset", "What?", "/exit", "no"]);
    expect(attached.code).toBe(0);
    expect(attached.stdout).toBe(flagged.stdout + plain.stdout);
  });

  it("goes on after a refusal, without what was refused, and tells by the exit code", async () => {
    const { code, stdout, stderr } = await chat(
      [`/image ${image}`, "And this?", "Still there?", "/bogus", "/image"],
      "--image",
      image,
    );
    expect(code).toBe(1);
    expect(stderr).toContain("llava-mini takes 1 image or video");
    expect(stderr).toContain("dropped: image2_640x480_rgb.png, image2_640x480_rgb.png");
    expect(stderr).toContain("no such command: /bogus");
    expect(stderr).toContain("/image needs something after it");
    expect(stdout).toBe((await chat(["Still there?"])).stdout);
  });
});

describe("Ctrl-C in a chat", () => {
  it("stops the answer and not the program, and forgets the question", async () => {
    const run = (lines: string[], interrupt: boolean) =>
      runCli(["chat", long, "--max-tokens", "800"], {
        input: lines.join("\n"),
        interrupt,
      });
    const { code, stdout, stderr } = await run(["Hello?", "/exit"], true);
    const { stdout: whole } = await run(["Hello?", "/exit"], false);
    expect(code).toBe(0);
    expect(stderr).toContain("stopped; question and answer are forgotten");
    expect(stdout.length).toBeLessThan(whole.length);
  });
});

describe("a running command", () => {
  it("ends at Ctrl-C with exit code 130, keeping what was printed", async () => {
    const { code, stdout, stderr } = await runCli(["ask", long, "x", "--max-tokens", "1800"], {
      interrupt: true,
    });
    expect(code).toBe(130);
    expect(stdout).not.toBe("");
    expect(stderr).not.toContain("error");
  });

  it("ends quietly when nobody reads its output any more", async () => {
    const { code, stdout, stderr } = await runShell(
      `{ saccade ask '${long}' x --max-tokens 1800 < /dev/null; echo "code $?" >&2; } | head -c 1`,
    );
    expect(code).toBe(0);
    expect(stdout).toHaveLength(1);
    expect(stderr.trim()).toBe("code 0");
  });
});

describe("saccade demo", () => {
  it("asks the embedded models about pictures, side by side, with what that takes", async () => {
    const { code, stdout } = await runCli(["demo", "--questions", "2"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/question +LLaVA-Mini +AVG-LLaVA +LLaVA +right answer/);
    expect(stdout).toMatch(/LLaVA-Mini +96x96 +1 /);
    // What the router chose stands behind its answers, and as a range below.
    expect(stdout.match(/ \((1|4|9|18|36)\) /g)).toHaveLength(6);
    expect(stdout).toMatch(/AVG-LLaVA +96x96 +\d+( to \d+)? /);
    expect(stdout).toMatch(/LLaVA +96x96 +36 /);
    const answers = stdout.split("\n").filter((line) => /\? {2}/.test(line));
    expect(answers).toHaveLength(6);
    for (const line of stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(130);
  });

  it("then serves them, where it is asked to, until it is stopped", async () => {
    const { code, stdout } = await runCli(["demo", "--questions", "1", "--serve"], {
      interrupt: "curl ",
    });
    expect(stdout).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/m);
    expect(code).toBe(0);
  });
});
