import { readFile } from "node:fs/promises";
import { pathExists } from "../host/path-exists.ts";
import type { SpecRequest } from "../spec/build-spec.ts";

/** The facts of this host that specs depend on. */
export async function readSpecHost(): Promise<SpecRequest["host"]> {
  const [cgroupV2, lastCap] = await Promise.all([
    pathExists("/sys/fs/cgroup/cgroup.controllers"),
    readFile("/proc/sys/kernel/cap_last_cap", "utf8"),
  ]);
  return { cgroupV2, lastCap: Number(lastCap) };
}
