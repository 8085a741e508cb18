/** The OpenAI-compatible server, for programs that start it themselves. */
export { type RunningServer, startServer } from "./serve.js";
export type {
  LogLine,
  MediaAccess,
  RequestLimits,
  ServerOptions,
  ServingOptions,
} from "./server-options.js";
