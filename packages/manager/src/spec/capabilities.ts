import { Code, ManagerError } from "../errors/manager-error.ts";
import type { OciCapabilities } from "./oci-spec.ts";

/** Linux's capabilities in the order of their numbers, 0 to 40. */
const NAMES =
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE";
const KNOWN = new Set(NAMES.split(" ").map((name) => `CAP_${name}`));

/** Every capability that the kernel of this host knows; `lastCap` is /proc/sys/kernel/cap_last_cap. */
export function allCapabilities(lastCap: number): string[] {
  return [...KNOWN].slice(0, lastCap + 1);
}

/** `net_admin`, `NET_ADMIN` or `CAP_NET_ADMIN` to the spec's form. `field` is what the error names. */
export function parseCapability(field: string, text: string): string {
  const upper = text.toUpperCase();
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (KNOWN.has(name)) return name;
  throw new ManagerError(Code.InvalidArgument, `${field} ${JSON.stringify(text)}: no such capability`);
}

/** The three sets with some names added and others taken away; taking away wins. */
export function changedCapabilities(
  sets: OciCapabilities,
  add: readonly string[],
  drop: ReadonlySet<string>,
): OciCapabilities {
  const change = (names: readonly string[]) => [...new Set([...names, ...add])].filter((name) => !drop.has(name));
  return { bounding: change(sets.bounding), effective: change(sets.effective), permitted: change(sets.permitted) };
}
