/** Where the results of a study go in its document. */
const [opening, closing] = ["<!-- results -->", "<!-- /results -->"];

/** `document` with `results` between its markers. Throws `RangeError` for a document without them. */
export const placeResults = (document: string, results: string): string => {
  const [from, to] = [document.indexOf(opening), document.indexOf(closing)];
  if (from < 0 || to < from) {
    throw new RangeError(
      `placeResults: a document must have ${opening} and ${closing}, got neither or one of them; add them where the tables go`,
    );
  }
  return `${document.slice(0, from + opening.length)}\n${results}\n${document.slice(to)}`;
};
