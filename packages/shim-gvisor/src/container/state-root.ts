import { closeSync, mkdirSync, openSync, rmdirSync } from "node:fs";

/**
 * Make runsc's state directory with a container's lock in it, as runsc itself would: a directory that is not empty can't be removed, so that it is
 * there as long as the container is, whoever else comes and goes. Throws what the file system says.
 */
export function claimRoot(root: string, lock: string): void {
  for (;;) {
    mkdirSync(root, { recursive: true, mode: 0o711 });
    try {
      closeSync(openSync(`${root}/${lock}`, "a", 0o640));
      return;
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error; // somebody's last container left it just now
    }
  }
}

/** Remove the directory if nobody's container is in it. */
export function leaveRoot(root: string): void {
  try {
    rmdirSync(root);
  } catch (error) {
    if (!hasCode(error, "ENOTEMPTY") && !hasCode(error, "ENOENT")) throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
