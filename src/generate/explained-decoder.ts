import { NonFiniteError } from "../errors.js";
import type { Decoder } from "./decoder.js";

/**
 * The same decoder, whose `NonFiniteError` names the weight that is broken, where one is.
 * `findBrokenWeight` runs only then; the message stays as it was where it finds none or fails.
 */
export const explainNonFinite = (
  decoder: Decoder,
  findBrokenWeight: () => Promise<string | undefined>,
): Decoder => {
  const explained = async <Result>(work: Promise<Result>): Promise<Result> => {
    try {
      return await work;
    } catch (error) {
      if (!(error instanceof NonFiniteError)) throw error;
      const name = await findBrokenWeight().catch(() => undefined);
      if (name === undefined) throw error;
      throw new NonFiniteError(
        `decoder: the scores must be finite, got NaN or infinity, which the weight "${name}" holds; fetch or convert the model again`,
        { cause: error },
      );
    }
  };
  return {
    ...decoder,
    prefill: (...parameters) => explained(decoder.prefill(...parameters)),
    step: (...parameters) => explained(decoder.step(...parameters)),
  };
};
