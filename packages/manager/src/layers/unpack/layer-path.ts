import { lstatSync, readlinkSync, type Stats } from "node:fs";
import { join } from "node:path/posix";
import { type ByteString, toFsPath, toText } from "../tar/byte-string.ts";
import { LayerError } from "./layer-error.ts";

const LINK_LIMIT = 40; // the kernel's

/** The parts of a member's name, cleaned as text: absolute names and `..` cannot lead out. */
export function boundedParts(name: ByteString): ByteString[] {
  const parts: ByteString[] = [];
  for (const part of name.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts;
}

/** lstat, or undefined if there is nothing. */
export function lstatIfThere(path: ByteString): Stats | undefined {
  return lstatSync(toFsPath(path), { throwIfNoEntry: false });
}

/**
 * Make what is missing of the directory `parts`, symbolic links followed. The calling thread must have the layer for its root, so
 * that they lead nowhere else. `make` gets each missing directory's path, in order. Throws LayerError.
 */
export function makeParents(parts: readonly ByteString[], make: (parts: readonly ByteString[]) => void): void {
  const todo = [...parts];
  let done: ByteString[] = [];
  let links = 0;
  for (let part = todo.shift(); part !== undefined; part = todo.shift()) {
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const path = toPath([...done, part]);
    const stat = lstatIfThere(path);
    if (stat?.isSymbolicLink()) {
      if (++links > LINK_LIMIT) throw new LayerError(`${toText(parts.join("/"))}: too many symbolic links`);
      const target = readlinkSync(toFsPath(path), "latin1");
      if (target.startsWith("/")) done = [];
      todo.unshift(...target.split("/"));
      continue;
    }
    if (stat !== undefined && !stat.isDirectory()) {
      throw new LayerError(`${toText(parts.join("/"))}: ${toText(part)} is not a directory`);
    }
    done.push(part);
    if (stat === undefined) make(done);
  }
}

/** The path of a member in a thread that has the layer for its root. */
export function toPath(parts: readonly ByteString[]): ByteString {
  return `/${parts.join("/")}`;
}

/** The directory with that name in the topmost layer that has it, every part a real directory: a model for a missing parent. */
export function modelDirectory(
  lowers: readonly string[],
  parts: readonly ByteString[],
): { readonly path: ByteString; readonly stat: Stats } | undefined {
  for (const lower of lowers) {
    let [path, stat]: [ByteString, Stats | undefined] = [Buffer.from(lower).toString("latin1"), undefined];
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
