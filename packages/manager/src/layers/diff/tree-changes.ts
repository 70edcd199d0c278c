import { lstatSync, readdirSync, type Stats } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import type { LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath } from "../tar/byte-string.ts";
import { isSameFile } from "./tree-file.ts";

/** One difference between two trees. Paths are relative to the roots, without a leading slash. */
export type TreeChange =
  | { readonly kind: "deleted"; readonly path: ByteString }
  /** "same" comes only for files with more than one name: another name may be new. */
  | { readonly kind: "changed" | "same"; readonly path: ByteString; readonly stat: Stats };

/** Two trees in what the calling thread sees: their roots, without a trailing slash. */
export interface Trees {
  readonly left: ByteString;
  readonly right: ByteString;
}

/**
 * What makes `right` of `left`, in tree order: names of a directory bytewise, a directory before what is in it. What vanishes while
 * it is looked at is left out.
 */
export function* treeChanges(
  libc: LayerLibc,
  trees: Trees,
  path: ByteString = "",
  inLeft = true,
): Generator<TreeChange> {
  const names = listDirectory(join(trees.right, path)) ?? [];
  const lower = inLeft ? (listDirectory(join(trees.left, path)) ?? []) : [];
  for (const [name, where] of merge(lower, names)) {
    const child = path === "" ? name : `${path}/${name}`;
    if (where === "left") yield { kind: "deleted", path: child };
    else yield* childChanges(libc, trees, child, where === "both");
  }
}

function* childChanges(libc: LayerLibc, trees: Trees, path: ByteString, inLeft: boolean): Generator<TreeChange> {
  const [leftPath, rightPath] = [join(trees.left, path), join(trees.right, path)];
  const right = lstat(rightPath);
  if (right === undefined || right.isSocket()) {
    if (inLeft) yield { kind: "deleted", path };
    return;
  }
  const left = inLeft ? lstat(leftPath) : undefined;
  const same = left !== undefined && isSameOrGone(libc, [leftPath, left], [rightPath, right]);
  if (!same) yield { kind: "changed", path, stat: right };
  else if (!right.isDirectory() && right.nlink > 1) yield { kind: "same", path, stat: right };
  if (right.isDirectory()) yield* treeChanges(libc, trees, path, left?.isDirectory() === true);
}

function isSameOrGone(libc: LayerLibc, left: [ByteString, Stats], right: [ByteString, Stats]): boolean {
  try {
    return isSameFile(libc, left, right);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false; // whoever reads the change finds out
    throw error;
  }
}

/** Both sorted lists as one, with where each name is. */
function* merge(
  left: readonly ByteString[],
  right: readonly ByteString[],
): Generator<[ByteString, "left" | "right" | "both"]> {
  let [l, r] = [0, 0];
  while (l < left.length || r < right.length) {
    const [a, b] = [left[l], right[r]];
    if (a !== undefined && (b === undefined || a < b)) {
      yield [a, "left"];
      l++;
    } else if (b !== undefined) {
      yield [b, a === b ? "both" : "right"];
      if (a === b) l++;
      r++;
    }
  }
}

function listDirectory(path: ByteString): ByteString[] | undefined {
  try {
    return readdirSync(toFsPath(path), "latin1").sort();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function lstat(path: ByteString): Stats | undefined {
  return lstatSync(toFsPath(path), { throwIfNoEntry: false });
}

function join(root: ByteString, path: ByteString): ByteString {
  return path === "" ? root : `${root}/${path}`;
}
