import { writeFileSync } from "node:fs";
import { type Spec, SYNC_CODE } from "@trimaran/linux";
import type { MonitoredProcess, SyncRequest } from "@trimaran/shim-core";

/** Answer what init asks for while it sets itself up. Throws what the kernel refused. */
export function answerSync(sync: SyncRequest, process: MonitoredProcess, spec: Spec): bigint {
  switch (sync.code) {
    case SYNC_CODE.MAPPED:
      writeMaps(process.pid, spec);
      return 0n;
    case SYNC_CODE.CONSOLE:
      return 0n; // the monitor has put the master into its slot
    default:
      throw new Error(`init asked for ${sync.code}, which is unknown`);
  }
}

/** One write each: the kernel takes a map once, and whole. Source: user_namespaces(7). */
function writeMaps(pid: number, { linux }: Spec): void {
  for (const [file, field, mappings] of [
    ["uid_map", "linux.uidMappings", linux.uidMappings],
    ["gid_map", "linux.gidMappings", linux.gidMappings],
  ] as const) {
    const lines = mappings.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`);
    try {
      writeFileSync(`/proc/${pid}/${file}`, lines.join(""));
    } catch (error) {
      throw new Error(`${field}: refused (${error instanceof Error ? error.message : error})`, { cause: error });
    }
  }
}
