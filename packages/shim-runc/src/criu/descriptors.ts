import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { DESCRIPTORS } from "./arguments.ts";

/** Three names take a hundred bytes. */
const LIMIT_BYTES = 4096;

/**
 * Which pipes were a checkpoint's 0, 1, 2: names as criu has them, "" for what was none. Untrusted: an image may come from anywhere, and what is no plain
 * small file there (a FIFO, a link to a device without end) would hold up a task server and all its pods.
 */
export function pipesOf(images: string): string[] {
  const parsed = parse(readSmall(`${images}/${DESCRIPTORS}`));
  if (!Array.isArray(parsed)) return []; // whoever made it knew of none
  return parsed
    .slice(0, 3)
    .map((name: unknown) => (typeof name === "string" && /^pipe:\[[0-9]+\]$/.test(name) ? name : ""));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Empty for what is not there, or no such file. */
function readSmall(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch {
    return "";
  }
  try {
    const stat = fstatSync(fd);
    return stat.isFile() && stat.size <= LIMIT_BYTES ? readFileSync(fd, "utf8") : "";
  } finally {
    closeSync(fd);
  }
}
