import { readFileSync } from "node:fs";
import type { Native } from "@trimaran/linux";

// linux/prctl.h, linux/capability.h
const PR_SET_DUMPABLE = 4;
const CAP_SYS_PTRACE = 1n << 19n;

/**
 * A process that has read specs leaves no core file with their secrets, wherever core_pattern sends it, and nobody without CAP_SYS_PTRACE looks into it.
 * Starters open our memfd by /proc, for which they then need that capability, too: where we have none, they have none, and nothing is changed.
 * What Node cannot do: it needs its capabilities for cgroups, hooks and links, and no_new_privs would reach the operator's hooks.
 */
export function refuseDumps(native: Native, status = readFileSync("/proc/self/status", "utf8")): void {
  const effective = BigInt(`0x${/^CapEff:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  if ((effective & CAP_SYS_PTRACE) !== 0n) native.check("prctl", [PR_SET_DUMPABLE, 0, 0, 0, 0]);
}
