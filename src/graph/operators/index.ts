export * from "./attention.js";
export * from "./elementwise.js";
export * from "./layout.js";
export * from "./matmul.js";
export * from "./normalise.js";
export * from "./reduce.js";
export * from "./rope.js";
export * from "./token-loss.js";
