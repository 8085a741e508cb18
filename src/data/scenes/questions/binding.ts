import { withArticle } from "../object-classes.js";
import { createFamily, yesNo } from "./question.js";

/**
 * Whether a colour and a shape belong together: both are in the scene whatever the answer, so that seeing each of them
 * is not enough.
 */
export const binding = createFamily(
  "binding",
  "medium",
  "simple",
  ({ grid: { things } }, random) => {
    const colours = [...new Set(things.flatMap(({ colour }) => colour ?? []))];
    const names = [...new Set(things.map(({ name }) => name))];
    const pairs = colours.flatMap((colour) => names.map((name) => ({ colour, name })));
    const isThere = (pair: { colour: string; name: string }) =>
      things.some(({ colour, name }) => colour === pair.colour && name === pair.name);
    const absent = pairs.filter((pair) => !isThere(pair));
    if (absent.length === 0) return undefined;
    const answer = random.chance(0.5);
    const { colour, name } = random.pick(answer ? pairs.filter(isThere) : absent);
    return { question: `Is there ${withArticle(`${colour} ${name}`)}?`, answer: yesNo(answer) };
  },
);
