import { readFileSync } from "node:fs";
import { expandSlice, parseScopeName } from "../systemd/unit-name.ts";
import { CgroupError } from "./error.ts";
import { type CgroupHost, detectCgroups } from "./host.ts";
import type { CgroupPlan } from "./plan.ts";

/**
 * Where systemd will put a container's scope: below its own root, which is where PID 1 is but for `init.scope`. The slices above it are
 * systemd's, so only the scope's own directories are ours to remove. `manager` has PID 1's place for its own path. Throws CgroupError.
 */
export function planScope(
  host: CgroupHost,
  cgroupsPath: string | undefined,
  id: string,
  manager: CgroupHost = detectCgroups({ selfCgroup: readFileSync("/proc/1/cgroup", "utf8") }),
): CgroupPlan {
  const scope = parseScopeName(cgroupsPath, id);
  const named = manager.hierarchies.find(({ controllers }) => controllers.includes("name=systemd"));
  const start = named?.ownPath ?? manager.unified?.ownPath;
  if (start === undefined) throw new CgroupError("linux.cgroupsPath", "this host has no hierarchy of systemd's");
  const path = `${start.replace(/\/init\.scope$/, "").replace(/\/$/, "")}${expandSlice(scope.slice)}/${scope.unit}`;
  const hierarchies = host.hierarchies.map(({ controllers, mountPoint }) => ({
    controllers,
    mountPoint,
    directory: `${mountPoint}${path}`,
  }));
  const leaves = hierarchies.map(({ directory }) => directory);
  if (host.unified === undefined) return { path, hierarchies, directories: leaves, scope };
  const { mountPoint } = host.unified;
  const unified = `${mountPoint}${path}`;
  return { path, hierarchies, unified, unifiedMountPoint: mountPoint, directories: [...leaves, unified], scope };
}
