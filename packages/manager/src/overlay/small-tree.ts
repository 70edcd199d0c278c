import { readdir } from "node:fs/promises";
import { join } from "node:path";

/** Whether a directory has at most `limit` entries in all depths. False, too, where it cannot be told. */
export async function isSmallTree(root: string, limit: number): Promise<boolean> {
  const todo = [root];
  let left = limit;
  try {
    for (let path = todo.pop(); path !== undefined; path = todo.pop()) {
      const entries = await readdir(path, { withFileTypes: true });
      left -= entries.length;
      if (left < 0) return false;
      for (const entry of entries) if (entry.isDirectory()) todo.push(join(path, entry.name));
    }
    return true;
  } catch {
    return false; // a name that is not UTF-8, or it is going away
  }
}
