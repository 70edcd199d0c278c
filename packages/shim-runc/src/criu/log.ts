import { readFileSync } from "node:fs";

const ERROR = /^\([0-9.]+\)[ \t]+(?:pie: )?(?:[0-9]+: )?(Error \([^)\n]*\): .*)$/gm; // of one line: names of the container's may be in it
/** criu would like to have higher limits, says so where it may not (without CAP_SYS_RESOURCE), and goes on. */
const HARMLESS = /: rlimit: Can't setup RLIMIT_/;

/**
 * The first error in a log of criu's, as it is there from `Error (` on: `Error (criu/sk-unix.c:700): unix: External socket is used…`. Later ones
 * tell what came of it. Undefined where there is none.
 */
export function firstError(log: string): string | undefined {
  for (const [, text = ""] of log.matchAll(ERROR)) if (!HARMLESS.test(text)) return text.trim();
  return undefined;
}

/** Why criu failed: its log's first error, else the first line of its stderr (of a flag that it does not know, say), else how it ended. */
export function failureReason(files: { readonly log: string; readonly stderr: string }, ending: string): string {
  const line = read(files.stderr)
    .split("\n")
    .find((text) => text.trim() !== "");
  return firstError(read(files.log)) ?? line?.trim() ?? `${ending} without a word`;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it did not come to that
  }
}
