import { lstatSync, readdirSync } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import { type ByteString, toFsPath } from "../tar/byte-string.ts";
import { inodeKey } from "./tree-file.ts";

/** What a tree takes on its disk. */
export interface DiskUsage {
  readonly sizeBytes: number;
  readonly inodes: number;
}

const BLOCK_BYTES = 512; // st_blocks' unit, whatever the file system's is

/** Allocated blocks and inodes of a tree, its root included, each inode once. What vanishes meanwhile does not count. */
export function diskUsage(root: ByteString): DiskUsage {
  const seen = new Set<string>();
  let [sizeBytes, inodes] = [0, 0];
  const todo = [root];
  for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
    const stat = lstatSync(toFsPath(path), { throwIfNoEntry: false });
    if (stat === undefined || (!stat.isDirectory() && stat.nlink > 1 && isSeen(seen, path))) continue;
    sizeBytes += stat.blocks * BLOCK_BYTES;
    inodes++;
    if (stat.isDirectory()) for (const name of list(path)) todo.push(`${path}/${name}`);
  }
  return { sizeBytes, inodes };
}

function isSeen(seen: Set<string>, path: ByteString): boolean {
  try {
    const key = inodeKey(path);
    if (seen.has(key)) return true;
    seen.add(key);
    return false;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return true;
    throw error;
  }
}

function list(path: ByteString): ByteString[] {
  try {
    return readdirSync(toFsPath(path), "latin1");
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
