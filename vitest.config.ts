import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    // Once more on a shared machine: a browser that is looked at in mid-transition is no fault of the page.
    retry: process.env.CI === undefined ? 0 : 1,
  },
});
