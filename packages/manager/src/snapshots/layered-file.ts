import { constants } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";

/**
 * Read one regular file of an overlay that is not mounted, as text. `layers` are its directories, topmost first; `path` is
 * relative. Hostile layers are expected: no symbolic link is followed, no FIFO waited for, and a file above `limitBytes` is cut.
 * Undefined if there is no such file or a whiteout hides it.
 */
export async function readLayeredFile(
  layers: readonly string[],
  path: string,
  limitBytes: number,
): Promise<string | undefined> {
  for (const layer of layers) {
    const found = await look(layer, path.split("/"));
    if (found === "hidden") return undefined;
    if (found === "file") return readBounded(join(layer, path), limitBytes);
  }
  return undefined;
}

/** Whether a layer has the file, says nothing about it, or hides what lower layers have. */
async function look(layer: string, parts: readonly string[]): Promise<"file" | "absent" | "hidden"> {
  let path = layer;
  for (const [index, part] of parts.entries()) {
    path = join(path, part);
    const stat = await lstat(path).catch((error: unknown) => {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    });
    if (stat === undefined) return "absent";
    const last = index === parts.length - 1;
    if (last && stat.isFile()) return "file";
    if (last || !stat.isDirectory()) return "hidden"; // a whiteout, a link, or something that cannot be a parent
  }
  return "hidden";
}

async function readBounded(path: string, limitBytes: number): Promise<string | undefined> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) return undefined;
    const buffer = Buffer.alloc(limitBytes);
    const { bytesRead } = await file.read(buffer, 0, limitBytes, 0);
    return buffer.toString("utf8", 0, bytesRead);
  } finally {
    await file?.close();
  }
}
