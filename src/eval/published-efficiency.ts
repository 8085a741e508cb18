/**
 * The efficiency figures that the papers print, beside what our graphs cost in each paper's own
 * convention. Where they differ, the reason is known and stated; a difference without one is an error.
 */
import { SaccadeError } from "../errors.js";
import { compareAvgLlava } from "./avg-llava-figures.js";
import { type FigureTable, isEqual } from "./efficiency-figure.js";
import { compareLlavaMini } from "./llava-mini-figures.js";
import { compareLlavaUhd } from "./llava-uhd-figures.js";

/** All tables. Throws `SaccadeError` for a figure that is off and does not say why. */
export const compareEfficiency = (): FigureTable[] => {
  const tables = [...compareLlavaMini(), compareLlavaUhd(), ...compareAvgLlava()];
  for (const { title, figures } of tables) {
    const unexplained = figures.find((figure) => !isEqual(figure) && figure.note === undefined);
    if (unexplained) {
      throw new SaccadeError(
        `compareEfficiency: "${title}", ${unexplained.what}: ours must be the printed ${unexplained.published} or say why not, got ${unexplained.ours}`,
      );
    }
  }
  return tables;
};
