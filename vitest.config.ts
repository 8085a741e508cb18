import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    // All processors: by default one is left free, which on a machine of two is half of them.
    maxWorkers: "100%",
    testTimeout: 60_000,
  },
});
