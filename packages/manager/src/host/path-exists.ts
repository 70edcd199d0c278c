import { lstat } from "node:fs/promises";
import { errnoOf } from "../errors/manager-error.ts";

/** Whether something has that name; a symbolic link counts as itself. Throws what is neither a yes nor a no. */
export async function pathExists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
