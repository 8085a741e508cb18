import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { copyModel, fixture, runCli, runShell, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
const image = fixture("preprocess-clip", "image2_640x480_rgb.png");
const otherImage = fixture("preprocess-clip", "image0_200x140_rgb.png");
const video = fixture("video", "clip.mp4");
let model = "";

beforeAll(() => {
  model = copyModel(join(folder.path, "model"));
});
afterAll(folder.remove);

const ask = (...args: string[]) => runCli(["ask", model, "--max-tokens", "6", ...args]);
const askJson = async (...args: string[]) => {
  const result = await ask("--json", ...args);
  expect(result.stderr).not.toContain("error:");
  expect(result.code).toBe(0);
  return JSON.parse(result.stdout);
};

describe("saccade ask", () => {
  it("prints the answer on standard output, and everything else on standard error", async () => {
    const { code, stdout, stderr } = await ask("--image", image, "What is this?");
    const { text } = await askJson("--image", image, "What is this?");
    expect(code).toBe(0);
    expect(stdout).toBe(`${text}\n`);
    expect(stderr).toContain("image2_640x480_rgb.png: 640x480, 1 view of 42x42, 1 token");
    expect(stderr).toContain("cut after 6 tokens");
  });

  it("reports with --json one object with all that was done", async () => {
    const answer = await askJson("--image", image, "What is this?", "--seed", "5");
    expect(answer).toMatchObject({
      model: "model",
      finishReason: "length",
      seed: 5,
      usage: { imageTokens: 1, videoTokens: 0, completionTokens: 6 },
      media: [{ type: "image", size: { width: 640, height: 480 }, tokens: 1 }],
    });
    expect(answer.ids).toHaveLength(6);
    expect(answer.usage.promptTokens).toBe(answer.usage.textTokens + 1);
    expect(answer.timings.firstTokenMs).toBeGreaterThan(0);
  });

  it("draws the same tokens for the same seed, and others for others", async () => {
    const drawn = (seed: string) =>
      askJson("--image", image, "What?", "--temperature", "2", "--seed", seed);
    const [first, again, other] = [await drawn("1"), await drawn("1"), await drawn("2")];
    expect(again.ids).toEqual(first.ids);
    expect(other.ids).not.toEqual(first.ids);
  });

  it("counts with --dry-run exactly the tokens that the answer then uses", async () => {
    const count = await askJson("--image", image, "What is this?", "--dry-run");
    const { usage } = await askJson("--image", image, "What is this?");
    expect(count).toMatchObject({ dryRun: true, contextLength: 512 });
    for (const name of ["promptTokens", "textTokens", "imageTokens", "videoTokens"]) {
      expect(count[name], name).toBe(usage[name]);
    }
    const { stdout } = await ask("--image", image, "What is this?", "--dry-run");
    expect(stdout).toContain(`prompt: ${usage.promptTokens} tokens`);
  });

  it("tells when frames of a video are left out, and when --frames cuts them", async () => {
    const { stderr, stdout } = await ask("--video", video, "What?", "--frames", "2", "--json");
    expect(stderr).toContain("2 of 12 frames; the rule asks for 3, cut by --frames");
    const { usage, media } = JSON.parse(stdout);
    expect(usage.videoTokens).toBe(2);
    expect(media[0].frames).toEqual({ sampled: 2, wanted: 3, total: 12, isCapped: true });
    const all = await askJson("--video", video, "What?", "--frame-rule", "all");
    expect(all.usage.videoTokens).toBe(12);
    const uniform = await askJson(
      "--video",
      video,
      "x",
      "--frame-rule",
      "uniform",
      "--frames",
      "5",
    );
    expect(uniform.usage.videoTokens).toBe(5);
  });

  it("tells images from videos by their content with -a, whatever their names", async () => {
    const disguisedImage = join(folder.path, "photo.mp4");
    const disguisedVideo = join(folder.path, "clip.png");
    writeFileSync(disguisedImage, readFileSync(image));
    writeFileSync(disguisedVideo, readFileSync(video));
    const kinds: string[] = [];
    for (const path of [
      disguisedImage,
      disguisedVideo,
      fixture("video", "clip.gif"),
      fixture("image-decode", "palette.gif"),
      fixture("image-decode", "lossless.avif"),
      fixture("video", "frames"),
    ]) {
      kinds.push((await askJson("-a", path, "What?", "--dry-run")).media[0].type);
    }
    expect(kinds).toEqual(["image", "video", "video", "image", "image", "video"]);
  });

  it("takes an image piped in as an attachment, and text piped in as the question", async () => {
    const run = (line: string) => runShell(`${line} --max-tokens 6 --json`);
    const expected = await askJson("--image", image, "What is this?");
    const piped = await run(`cat '${image}' | saccade ask '${model}' 'What is this?'`);
    expect(JSON.parse(piped.stdout).ids).toEqual(expected.ids);
    const dash = await run(`saccade ask '${model}' -a - 'What is this?' < '${image}'`);
    expect(JSON.parse(dash.stdout).ids).toEqual(expected.ids);
    const question = await run(`echo 'What is this?' | saccade ask '${model}' --image '${image}'`);
    expect(JSON.parse(question.stdout).ids).toEqual(expected.ids);
    const clip = await run(`saccade ask '${model}' -a - 'What?' < '${video}'`);
    expect(JSON.parse(clip.stdout).usage.videoTokens).toBe(3);
  });

  it("refuses a question that is given twice, or not at all", async () => {
    const twice = await runShell(`echo one | saccade ask '${model}' two`);
    expect(twice.code).toBe(2);
    expect(twice.stderr).toContain("given twice");
    const none = await runCli(["ask", model, "--image", image], { input: "" });
    expect(none.code).toBe(2);
    expect(none.stderr).toContain("needs a question");
    const binary = await runShell(`saccade ask '${model}' < '${image}'`);
    expect(binary.code).toBe(2);
    expect(binary.stderr).toContain("holds no text");
    const many = await ask("What", "is", "this?");
    expect(many.code).toBe(2);
    expect(many.stderr).toContain("in quotes");
  });

  it("gives the method's own error for more images than it takes, in both spellings", async () => {
    for (const args of [
      ["--image", image, "--image", otherImage],
      ["--image", image, otherImage],
    ]) {
      const { code, stdout, stderr } = await ask(...args, "What?");
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
      expect(stderr).toContain("error: generate: llava-mini takes 1 image or video");
    }
  });

  it("appends every answer to the file of --log-jsonl", async () => {
    const log = join(folder.path, "log.jsonl");
    const first = await askJson("One?", "--log-jsonl", log);
    await ask("Two?", "--log-jsonl", log);
    const lines = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.map(({ question }) => question)).toEqual(["One?", "Two?"]);
    expect(lines[0].ids).toEqual(first.ids);
    expect(lines[0].options.maxTokens).toBe(6);
  });

  it("refuses bad files with typed errors and without a stack", async () => {
    const text = fixture("tokenizer", "tokenizer.json");
    for (const [flag, path, said] of [
      ["--image", join(folder.path, "absent.png"), "ENOENT"],
      ["--image", text, "bytes that start with"],
      ["-a", text, "attach it with --video"],
      ["--video", fixture("video", "sound.m4a"), "openVideo"],
    ]) {
      const { code, stdout, stderr } = await ask(flag, path, "What?");
      expect({ code, stdout }, path).toEqual({ code: 1, stdout: "" });
      expect(stderr).toMatch(/^error: /m);
      expect(stderr).toContain(said);
      expect(stderr).not.toMatch(/^\s+at /m);
    }
    const debug = await runCli(["ask", model, "--image", text, "What?"], {
      environment: { SACCADE_DEBUG: "1" },
    });
    expect(debug.stderr).toMatch(/^\s+at /m);
  });
});
