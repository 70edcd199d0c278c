import { messageOf } from "@trimaran/manager";

/** We failed, not the container. */
export const FAILED = 125;
const NOT_EXECUTABLE = 126;
const NOT_FOUND = 127;

/**
 * The exit code of a process that could not be started: 127 if its program is not there, 126 if it may not be executed, else
 * 125. Runtimes have only text for this; moby and its tests read the same words (shim-v2 contract, section 8).
 */
export function startFailureCode(error: unknown): number {
  const text = messageOf(error);
  if (!/exec|process\.args/.test(text)) return FAILED;
  if (/permission denied|EACCES|is a directory|exec format error|ENOEXEC/i.test(text)) return NOT_EXECUTABLE;
  if (/executable file not found|no such file|not a directory|ENOENT|ENOTDIR/i.test(text)) return NOT_FOUND;
  return FAILED;
}

/** An error that carries the exit code it is to end with. */
export class ExitError extends Error {
  override readonly name = "ExitError";
  readonly exitCode: number;

  constructor(exitCode: number, cause: unknown) {
    super(messageOf(cause), { cause });
    this.exitCode = exitCode;
  }
}
