/**
 * Saccade as a provider of the Vercel AI SDK (specification V3): `createSaccade` for models of a
 * server, `saccadeModel` for one loaded in this process.
 */
export { type InProcessOptions, saccadeModel } from "./in-process.js";
export { createSaccade, type SaccadeProviderOptions } from "./over-http.js";
export type { SdkLookOptions } from "./sdk-request.js";
