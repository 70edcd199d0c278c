import { statSync } from "node:fs";
import type { Spec } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";

const FILES: Readonly<Record<string, string>> = { network: "net", mount: "mnt" };

/**
 * What criu has restored, before it runs: a checkpoint that was forged may have left namespaces out, and would then run in the host's. Throws FailedPrecondition
 * with the one that is not the container's. Which rights its processes have cannot be seen yet: those are the checkpoint's own.
 */
export function checkNamespaces({ linux }: Spec, pid: number): void {
  for (const [kind, { path }] of linux.namespaces) {
    const file = FILES[kind] ?? kind;
    const found = statSync(`/proc/${pid}/ns/${file}`).ino;
    const isOurs = found === statSync(`/proc/self/ns/${file}`).ino;
    if (path === undefined ? isOurs : found !== statSync(path).ino)
      throw new StatusError(Code.FailedPrecondition, `checkpoint: its ${kind} namespace is not the container's`);
  }
}
