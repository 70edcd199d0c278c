// biome-ignore-all format: tables
/** Capability names in the order of their bits, 0 to 40. Source: linux/capability.h as of 6.18; none was added since 5.9. */
export const CAPABILITIES = [
  "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
  "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN", "CAP_NET_RAW",
  "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE", "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
  "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG",
  "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
] as const;

/** A capability's name. */
export type CapabilityName = (typeof CAPABILITIES)[number];

/** The five sets of a process, in the order in which the OCI spec and `/proc/PID/status` speak of them. */
export const CAPABILITY_SETS = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

/** Name of a set. */
export type CapabilitySetName = (typeof CAPABILITY_SETS)[number];

/** `process.capabilities` of the OCI runtime spec: an absent set is empty. */
export type CapabilityLists = { readonly [Set in CapabilitySetName]?: readonly string[] | undefined };

/** One 64-bit mask a set; bit N is capability N. */
export type CapabilityMasks = { readonly [Set in CapabilitySetName]: bigint };

const BITS: ReadonlyMap<string, number> = new Map(CAPABILITIES.map((name, bit) => [name, bit]));

/** The bit of a name in any case ("cap_kill" is 5), or undefined. The `CAP_` prefix is required, as in the spec. */
export function capabilityBit(name: string): number | undefined {
  return BITS.get(name.toUpperCase());
}

/**
 * Turn `process.capabilities` into masks. Names that no kernel up to 6.18 knows, and those above `lastBit` (the host's
 * /proc/sys/kernel/cap_last_cap), are left out and warned of, as the spec and runc do. An ambient capability that is not both
 * permitted and inheritable cannot be raised by the kernel: left out and warned of too.
 */
export function parseCapabilities(
  lists: CapabilityLists,
  lastBit: number = CAPABILITIES.length - 1,
): { readonly masks: CapabilityMasks; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const mask = (set: CapabilitySetName): bigint => {
    let bits = 0n;
    for (const [index, name] of (lists[set] ?? []).entries()) {
      const bit = capabilityBit(name);
      if (bit !== undefined && bit <= lastBit) bits |= 1n << BigInt(bit);
      else warnings.push(`process.capabilities.${set}[${index}] ${JSON.stringify(name)}: unknown to ${bit === undefined ? "us" : "this kernel"}, left out`);
    }
    return bits;
  };
  const sets = { bounding: mask("bounding"), effective: mask("effective"), inheritable: mask("inheritable"), permitted: mask("permitted") };
  const wanted = mask("ambient");
  const ambient = wanted & sets.permitted & sets.inheritable;
  if (ambient !== wanted) {
    const names = capabilityNames(wanted & ~ambient).join(", ");
    warnings.push(`process.capabilities.ambient: ${names} is not both permitted and inheritable, left out`);
  }
  return { masks: { ...sets, ambient }, warnings };
}

/** The names of the bits in a mask, lowest first; a bit without a name is `CAP_N`. */
export function capabilityNames(mask: bigint): string[] {
  const names: string[] = [];
  for (let bit = 0; mask >> BigInt(bit) !== 0n; bit++) {
    if ((mask >> BigInt(bit)) & 1n) names.push(CAPABILITIES[bit] ?? `CAP_${bit}`);
  }
  return names;
}
