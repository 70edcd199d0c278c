import { randomBytes } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Write a file whole: a reader sees the old content or all of the new one, after a crash of the machine, too. */
export function writeFileAtomic(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  return writeByRename(path, content, mode, true);
}

/** The same for what a crash of the machine takes away in any case: whole after kill -9, without waiting for the disk. */
export function writeVolatileFile(path: string, content: string | Uint8Array, mode = 0o600): Promise<void> {
  return writeByRename(path, content, mode, false);
}

async function writeByRename(
  path: string,
  content: string | Uint8Array,
  mode: number,
  isDurable: boolean,
): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(temporary, "wx", mode);
  try {
    await file.writeFile(content);
    if (isDurable) await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}
