import { Code, hasCode } from "../errors/manager-error.ts";

/** ttrpc's own text for a connection that is gone, which containerd compares with, too. */
export function isClosed(error: unknown): boolean {
  return hasCode(error, Code.Unknown) && error instanceof Error && error.message === "ttrpc: closed";
}
