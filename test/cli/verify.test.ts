import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { openSafetensors, saveSafetensors } from "../../src/weights/safetensors-file.node.js";
import { copyModel, fixture, runCli, temporaryFolder } from "../support/cli.js";

const folder = temporaryFolder();
afterAll(folder.remove);

/** A copy of the recorded model with its recording changed. */
const changeRecording = async (name: string, change: (tensors: Map<string, unknown>) => void) => {
  const path = copyModel(join(folder.path, name));
  const file = join(path, "io.safetensors");
  const opened = await openSafetensors(file);
  const tensors = new Map();
  for (const tensor of opened.tensors.keys()) tensors.set(tensor, await opened.readTensor(tensor));
  change(tensors);
  await saveSafetensors(file, tensors);
  return path;
};

describe("saccade verify", () => {
  it("passes a model that reproduces its recording, with every tensor and its error", async () => {
    const { code, stdout } = await runCli(["verify", fixture("llava-mini-image-c1"), "--json"]);
    const result = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(result.ok).toBe(true);
    expect(result.tensors.length).toBeGreaterThan(20);
    for (const { name, relativeError, ok } of result.tensors) {
      expect(ok, name).toBe(true);
      expect(relativeError, name).toBeLessThanOrEqual(1e-4);
    }
    const text = await runCli(["verify", fixture("llava-mini-image-c1")]);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/^logits +\d\.\de-\d+ +ok$/m);
    expect(text.stdout).toMatch(/^ok: \d+ tensors/m);
  });

  it("fails with exit code 1 when one tensor differs", async () => {
    const path = await changeRecording("differs", (tensors) => {
      const logits = tensors.get("logits") as { data: Float32Array };
      logits.data[0] += 1;
    });
    const { code, stdout } = await runCli(["verify", path, "--json"]);
    const { ok, tensors } = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(ok).toBe(false);
    const failed = tensors.filter((tensor: { ok: boolean }) => !tensor.ok);
    expect(failed).toEqual([expect.objectContaining({ name: "logits", ok: false })]);
    expect(failed[0].relativeError).toBeGreaterThan(1e-4);
    const text = await runCli(["verify", path]);
    expect(text.code).toBe(1);
    expect(text.stdout).toContain("FAILED: 1 of ");
  });

  it("gives null and a reason, in valid JSON, for what is not produced", async () => {
    const path = await changeRecording("unknown", (tensors) => {
      tensors.set("unheard.of", { dtype: "float32", shape: [1], data: new Float32Array(1) });
    });
    const { code, stdout } = await runCli(["verify", path, "--json"]);
    const { tensors } = JSON.parse(stdout);
    expect(code).toBe(1);
    expect(tensors.find(({ name }: { name: string }) => name === "unheard.of")).toMatchObject({
      relativeError: null,
      ok: false,
      reason: "not produced",
    });
  });

  it("fails with exit code 1 and a typed error for a folder that is not there or not recorded", async () => {
    const absent = await runCli(["verify", join(folder.path, "absent"), "--json"]);
    expect(absent).toMatchObject({ code: 1, stdout: "" });
    expect(absent.stderr).toContain("error: verifyFolder: no such folder");
    const unrecorded = await runCli(["verify", fixture("tokenizer")]);
    expect(unrecorded).toMatchObject({ code: 1, stdout: "" });
    expect(unrecorded.stderr).toMatch(/^error: /);
  });
});
