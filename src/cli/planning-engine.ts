import { GraphError } from "../errors.js";
import type { Engine } from "../graph/index.js";

/** What a plan answers when it is asked to compute. */
export const refuseToCompute = (): Promise<never> =>
  Promise.reject(new GraphError("inspect: this is a plan and computes nothing; load the model"));

/** An engine for asking a system about its plans: whatever would compute is an error. */
export const planningEngine: Engine = {
  provider: "cpu",
  threads: 1,
  open: refuseToCompute,
  maxFusedQueries: refuseToCompute,
  allocate: refuseToCompute,
  copy: refuseToCompute,
  read: refuseToCompute,
  write: refuseToCompute,
  release: refuseToCompute,
  close: async () => {},
};
