/**
 * The first key that occurs twice in one object of `text`, which must already be valid JSON; undefined where every
 * key is unique. `JSON.parse` keeps the last of two equal keys without a word, which a file format may not allow.
 */
export const findDuplicateKey = (text: string): string | undefined => {
  // In valid JSON a string is a key exactly when a colon follows it, so brackets, strings and colons are enough.
  const token = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}]/g;
  const open: Set<string>[] = [];
  for (let match = token.exec(text); match; match = token.exec(text)) {
    const [found, colon] = match;
    if (found === "{") open.push(new Set());
    else if (found === "}") open.pop();
    else if (colon !== undefined) {
      const key = String(JSON.parse(found.slice(0, found.length - colon.length)));
      const keys = open.at(-1);
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
};
