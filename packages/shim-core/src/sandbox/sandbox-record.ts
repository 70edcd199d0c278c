/** What CRI wants a pod's containers to share, besides a network. */
export interface PodWishes {
  /** Empty: the host's. */
  readonly hostname: string;
  readonly hostIpc: boolean;
  /** They see each other's processes. */
  readonly sharesProcesses: boolean;
  /** Its users are not the host's. */
  readonly ownUsers: boolean;
}

/**
 * A sandbox that the shim itself keeps (containerd's sandboxer "shim"): nothing but the promise that the pod's monitor stays, and
 * when it began and ended. Kept by the monitor as a note. `…By` name the request that did a step, so that its replay is recognised.
 */
export interface SandboxRecord {
  readonly id: string;
  readonly createdBy: string;
  readonly networkNamespace: string;
  /** Absent in what earlier versions wrote. */
  readonly hostNetwork?: boolean;
  /** Where CRI has asked for it. */
  readonly pod?: PodWishes;
  readonly annotations: Readonly<Record<string, string>>;
  readonly state:
    | { readonly state: "created" }
    | { readonly state: "ready"; readonly startedBy: string; readonly startedAtNs: bigint; readonly pid: number }
    | { readonly state: "stopped"; readonly startedAtNs: bigint | undefined; readonly exitedAtNs: bigint };
}

/** Encode for a note: JSON, 64-bit integers as text. */
export function encodeSandboxRecord(record: SandboxRecord): Uint8Array {
  const replacer = (_key: string, value: unknown) => (typeof value === "bigint" ? `${value}n` : value);
  return Buffer.from(JSON.stringify(record, replacer));
}

/** Decode a note of our own; only another version of ourselves could have written it differently. */
export function decodeSandboxRecord(bytes: Uint8Array): SandboxRecord {
  const reviver = (key: string, value: unknown) =>
    key.endsWith("AtNs") && typeof value === "string" ? BigInt(value.slice(0, -1)) : value;
  const record: unknown = JSON.parse(Buffer.from(bytes).toString(), reviver);
  return record as SandboxRecord;
}
