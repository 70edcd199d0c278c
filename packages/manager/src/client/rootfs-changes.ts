import { lstatSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import type { LayerLibc } from "../layers/libc.ts";
import type { RootfsDirectories } from "./rootfs-directories.ts";

/** What a container has done to one path of its image. */
export interface RootfsChange {
  /** Absolute, within the container. */
  readonly path: string;
  /**
   * `added`: the image has no such path. `copied-up`: a file of the image that was changed, its content or only its metadata.
   * `deleted`: whited out. `replaced`: a directory that hides all that the image has at its path.
   */
  readonly kind: "added" | "copied-up" | "deleted" | "replaced";
  /** Which lower directory has what it covers, 0 the topmost; undefined for what was added. */
  readonly lower: number | undefined;
  readonly type: "directory" | "file" | "symlink" | "other";
  readonly sizeBytes: number;
}

/** The libc calls that are needed. */
export type ChangesLibc = Pick<LayerLibc, "getXattr">;

const OPAQUE = ["trusted.overlay.opaque", "user.overlay.opaque"];

/**
 * What is in an overlay's upper directory, parents before children, names in bytewise order. Nothing is followed: the files are those
 * of a container that may be running, and hostile. A directory that the kernel copied up to have a place for something below is among them.
 */
export function* rootfsChanges({ upper, lowers }: RootfsDirectories, libc: ChangesLibc): Generator<RootfsChange> {
  if (upper !== undefined)
    yield* walk(
      upper,
      lowers,
      "",
      lowers.map((_, index) => index),
      libc,
    );
}

function* walk(
  upper: string,
  lowers: readonly string[],
  directory: string,
  visible: readonly number[],
  libc: ChangesLibc,
): Generator<RootfsChange> {
  for (const name of names(join(upper, directory))) {
    const path = `${directory}/${name}`;
    const stat = statOf(join(upper, path));
    if (stat === undefined) continue; // gone since
    const below = visible.filter((index) => statOf(join(lowers[index] ?? "", path)) !== undefined);
    const lower = lowerWith(lowers, path, visible);
    if (isWhiteout(stat)) {
      if (lower !== undefined) yield { path, kind: "deleted", lower, type: "other", sizeBytes: 0 };
      continue;
    }
    const opaque = stat.isDirectory() && OPAQUE.some((key) => isOpaque(libc, join(upper, path), key));
    const kind = lower === undefined ? "added" : opaque ? "replaced" : "copied-up";
    yield { path, kind, lower, type: typeOf(stat), sizeBytes: stat.isFile() ? stat.size : 0 };
    if (stat.isDirectory()) yield* walk(upper, lowers, path, opaque || lower === undefined ? [] : below, libc);
  }
}

/** The topmost of the visible directories that has the path, unless a whiteout above hides it. */
function lowerWith(lowers: readonly string[], path: string, visible: readonly number[]): number | undefined {
  for (const index of visible) {
    const stat = statOf(join(lowers[index] ?? "", path));
    if (stat !== undefined) return isWhiteout(stat) ? undefined : index;
  }
  return undefined;
}

/** Bytewise, as everywhere: names need not be UTF-8, and those that are not come out with replacement characters. */
function names(directory: string): string[] {
  try {
    return readdirSync(directory).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  } catch {
    return []; // gone since, or no directory any more
  }
}

function statOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined; // a parent is no directory there
  }
}

/** A character device 0:0. */
export function isWhiteout(stat: Stats): boolean {
  return stat.isCharacterDevice() && stat.rdev === 0;
}

function isOpaque(libc: ChangesLibc, path: string, key: string): boolean {
  try {
    return libc.getXattr(path, key)?.toString("latin1") === "y";
  } catch {
    return false;
  }
}

function typeOf(stat: Stats): RootfsChange["type"] {
  if (stat.isDirectory()) return "directory";
  if (stat.isFile()) return "file";
  return stat.isSymbolicLink() ? "symlink" : "other";
}
