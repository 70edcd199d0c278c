import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** How much of a console's end is looked at, in bytes. */
const TAIL_LIMIT_BYTES = 16 * 1024;
const LINES_SHOWN = 12;
const LINE_LIMIT = 200;
const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*[A-Za-z]`, "g");

/** How a guest said on its console that it ends, if it did. */
export interface LastWords {
  /** The line with the reason: a kernel's panic, or init's. Undefined where the console has none. */
  readonly reason: string | undefined;
  /** The last lines, cleaned, for a log. */
  readonly lines: readonly string[];
}

/**
 * Read the end of a console's log. The guest wrote it: control characters are taken out, and long lines are cut. An unreadable or missing log
 * is an empty one.
 */
export function readLastWords(path: string): LastWords {
  const lines = tail(path)
    .split(/\r?\n/)
    .map((line) => clean(line))
    .filter((line) => line !== "");
  const reason =
    lines.find((line) => line.includes("Kernel panic - not syncing")) ??
    lines.findLast((line) => line.startsWith("init: "));
  return { reason, lines: lines.slice(-LINES_SHOWN) };
}

function tail(path: string): string {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return ""; // QEMU was never started, or could not open it
  }
  try {
    const { size } = fstatSync(fd);
    const buffer = Buffer.alloc(Math.min(size, TAIL_LIMIT_BYTES));
    const read = readSync(fd, buffer, 0, buffer.length, size - buffer.length);
    return buffer.toString("latin1", 0, read);
  } finally {
    closeSync(fd);
  }
}

/** ASCII that prints; colours and the like go. */
function clean(line: string): string {
  return line
    .replaceAll(COLOUR, "")
    .replaceAll(/[^ -~]/g, "")
    .slice(0, LINE_LIMIT)
    .trim();
}
