import type { SharedBind, Spec } from "@trimaran/linux";
import type { WantedDisk } from "./disks.ts";

/** A bind mount of a container: where it is in `spec.mounts`, and what the host has to share for it. */
export interface Volume extends SharedBind {
  /** Index in `spec.mounts`. */
  readonly mount: number;
}

/** A pod's containers share it, and it is memory: so it is the guest's own. */
export const GUEST_SHM = "/dev/shm";

/**
 * The bind mounts that come from the host, in listed order: number n becomes `SHARED/ID/n`. Read-only ones are so for the whole guest, whatever
 * becomes of it; one that wants to see what the host mounts below it later does, one that wants the host to see its own mounts can't. `disks` are not shared as
 * files.
 */
export function planVolumes(mounts: Spec["mounts"], disks: readonly WantedDisk[] = []): readonly Volume[] {
  const isDisk = (mount: number) => disks.some(({ list, index }) => list === "mounts" && index === mount);
  return mounts.flatMap(({ type, source, target, options }, mount) => {
    if (!isBind(type, options) || target === GUEST_SHM || isDisk(mount)) return [];
    const readonly = options.findLast((word) => ["ro", "rw", "rro", "rrw"].includes(word));
    return [
      {
        mount,
        source,
        readonly: readonly === "ro" || readonly === "rro",
        recursive: type === "rbind" || options.includes("rbind"),
        slave: options.some((word) => /^r?(slave|shared)$/.test(word)),
        field: `mounts[${mount}] ${JSON.stringify(target)}`,
      },
    ];
  });
}

/** A bind by its type or by an option. */
export function isBind(type: string, options: readonly string[]): boolean {
  return type === "bind" || type === "rbind" || options.includes("bind") || options.includes("rbind");
}
