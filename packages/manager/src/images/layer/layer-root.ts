import { lstatSync, mkdirSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../errors/manager-error.ts";

/** A member of an archive that cannot be unpacked; names the member. */
export class LayerError extends Error {
  override readonly name = "LayerError";
}

const LINK_LIMIT = 255;

/** The parts of a member's name, bounded by the root: absolute names and `..` cannot lead out. */
export function boundedParts(name: string): string[] {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** lstat, or undefined if there is nothing. */
export function lstatIfThere(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

/**
 * The real directory of `parts` below `root`. Symbolic links on the way are followed as if `root` were the file system's root;
 * what is missing is made by `make` (given the path and its parts). Nothing outside of `root` is looked at or made. The caller is the only writer
 * there: it is a private directory, so what was looked at cannot change. Throws LayerError.
 */
export function resolveDirectory(
  root: string,
  parts: readonly string[],
  make: (path: string, parts: string[]) => void,
): string {
  const todo = [...parts];
  let done: string[] = [];
  let links = 0;
  for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const path = join(root, ...done, part);
    const stat = lstatIfThere(path);
    if (stat === undefined) make(path, [...done, part]);
    if (stat?.isSymbolicLink()) {
      if (++links > LINK_LIMIT) throw new LayerError(`${parts.join("/")}: too many symbolic links`);
      const target = readlinkSync(path);
      if (target.startsWith("/")) done = [];
      todo.unshift(...target.split("/"));
    } else if (stat === undefined || stat.isDirectory()) {
      done.push(part);
    } else {
      throw new LayerError(`${parts.join("/")}: ${part} is not a directory`);
    }
  }
  return join(root, ...done);
}

/** The directory with that name in the topmost layer that has it, every part a real directory: a model for a missing parent. */
export function modelDirectory(
  lowers: readonly string[],
  parts: readonly string[],
): { path: string; stat: Stats } | undefined {
  for (const lower of lowers) {
    let [path, stat]: [string, Stats | undefined] = [lower, undefined];
    for (const part of parts) {
      path = join(path, part);
      stat = lstatIfThere(path);
      if (!stat?.isDirectory()) break;
    }
    if (stat?.isDirectory()) return { path, stat };
    if (stat !== undefined) return undefined; // hidden by something else
  }
  return undefined;
}

/** mkdir that takes an existing directory as success. */
export function ensureDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o755 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  }
}
