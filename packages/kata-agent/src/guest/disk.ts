import { existsSync, readdirSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { trimaran } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";

/** The kernel tells of a new disk by uevents only, and looking costs less than a listener in every guest. */
const LOOK_MS = 5;
const LIMIT_MS = 10_000;

/**
 * A disk that the host has put into the guest's one SCSI target: its node in /dev, once the kernel has made it. Rejects with Unavailable where it does
 * not come. `root`: where sys and dev are, for tests.
 */
export async function findDisk(
  lun: number,
  { root = "/", limitMs = LIMIT_MS } = {},
): Promise<trimaran.agent.v1.FindDiskResponse> {
  const folder = `${root}sys/bus/scsi/devices/0:0:0:${lun}/block`;
  for (const until = performance.now() + limitMs; ; await delay(LOOK_MS)) {
    const name = existsSync(folder) ? readdirSync(folder)[0] : undefined;
    if (name !== undefined && existsSync(`${root}dev/${name}`)) {
      const [major = 0, minor = 0] = readFileSync(`${folder}/${name}/dev`, "utf8").split(":").map(Number);
      return { name, major, minor };
    }
    if (performance.now() > until)
      throw new StatusError(Code.Unavailable, `disk ${lun}: did not come in ${limitMs} ms`);
  }
}
