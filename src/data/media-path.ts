/** Media of a dataset lie below one folder: a record must not make the reader open anything else. */
import { RecordError } from "../errors.js";

const cut = (path: string): string[] =>
  path.split(/[\\/]+/).filter((part) => part !== "" && part !== ".");

const isAbsolute = (path: string): boolean => /^([\\/]|[A-Za-z]:[\\/])/.test(path);

/**
 * The path of a medium named in a record, below `root`. Relative names count from `root`; absolute ones must lie in it.
 *
 * @throws RecordError for remote addresses, names that leave the root, and where there is no root.
 */
export const resolveMediaPath = (root: string | undefined, name: string): string => {
  const refuse = (rule: string, wayOut: string) =>
    new RecordError(`resolveMediaPath: ${rule}, got ${JSON.stringify(name)}. ${wayOut}`);
  if (name.trim() === "" || name.includes("\0"))
    throw refuse("a medium must have a file name", "Remove it, or name its file.");
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(name)?.[1]?.toLowerCase();
  if (scheme !== undefined && scheme !== "file")
    throw refuse("a medium must be a local file", "Download it first, and name the file.");
  if (root === undefined)
    throw refuse(
      "media need a folder that they lie in",
      "Pass mediaRoot when opening the dataset.",
    );
  let local = name;
  if (scheme === "file") {
    if (!/^file:\/\/\//i.test(name))
      throw refuse("a file address must have three slashes and no host", "Name the file itself.");
    try {
      local = decodeURIComponent(name.slice("file://".length));
    } catch {
      throw refuse("a file address must be percent-encoded", "Name the file itself.");
    }
  }
  const base = cut(root);
  let parts = cut(local);
  if (isAbsolute(local)) {
    const isBelow = isAbsolute(root) && base.every((part, at) => parts[at] === part);
    if (!isBelow)
      throw refuse(`a medium must lie below ${root}`, "Move it there, or pass another mediaRoot.");
    parts = parts.slice(base.length);
  }
  // A ".." is refused even where it would end inside: through a link it may end anywhere.
  if (parts.includes("..") || parts.length === 0)
    throw refuse(`a medium must lie below ${root}, named without ".."`, "Name it from there.");
  return `${root.replace(/[\\/]+$/, "")}/${parts.join("/")}`;
};
