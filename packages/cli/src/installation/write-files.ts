import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { chmod, copyFile, mkdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "@trimaran/manager";
import { MANUAL, type PlannedFile } from "./plan.ts";

/** Write one file whole. A program that is running keeps its old file: the new one takes the name by a rename. */
export async function writePlannedFile(prefix: string, file: PlannedFile): Promise<void> {
  const path = join(prefix, file.path);
  const temporary = `${path}.${randomBytes(4).toString("hex")}.new`;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  try {
    if (file.kind === "copy") await copyFile(file.from, temporary, constants.COPYFILE_FICLONE);
    else await writeFile(temporary, file.text);
    await chmod(temporary, file.mode);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Remove files, then the directories of theirs that are empty with that. What is not there is fine. */
export async function removeFiles(prefix: string, files: readonly string[]): Promise<void> {
  for (const file of files) await rm(join(prefix, file), { force: true });
  const directories = new Set(files.flatMap((file) => ancestors(dirname(file))));
  for (const directory of [...directories].sort((a, b) => b.length - a.length)) {
    await rmdir(join(prefix, directory)).catch((error: unknown) => {
      if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(errnoOf(error) ?? "")) throw error;
    });
  }
}

/** lib/trimaran/a/b to [lib/trimaran/a/b, lib/trimaran/a, lib/trimaran]; bin, lib and share/man are not ours, and may be wanted empty. */
function ancestors(directory: string): string[] {
  if (directory === MANUAL) return [directory];
  if (!directory.startsWith("lib/trimaran")) return [];
  return [directory, ...ancestors(dirname(directory))];
}
