import { dirname } from "node:path";
import { errnoOf } from "../syscall/errno.ts";
import { CgroupError, toCgroupError } from "./error.ts";
import { readSmallFile, writeCgroupFile } from "./files.ts";

const FIELD = "linux.cgroupsPath";

/**
 * A v1 cpuset is born empty and takes no process then: give `directory` its parent's CPUs and memory nodes, parents first.
 * `fresh` saves the look whether it has some already. Source: cpuset(7), "cpuset.cpus".
 */
export function fillCpuset(mountPoint: string, directory: string, fresh: boolean): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) fillCpusetFile(mountPoint, directory, file, fresh);
}

function fillCpusetFile(mountPoint: string, directory: string, file: string, fresh: boolean): string {
  const own = fresh ? "" : readSmallFile(`${directory}/${file}`).trim();
  if (own !== "" || directory.length <= mountPoint.length) return own;
  const parents = fillCpusetFile(mountPoint, dirname(directory), file, false);
  try {
    writeCgroupFile(`${directory}/${file}`, parents);
  } catch (error) {
    throw toCgroupError(error, FIELD, "cannot inherit the parent's cpuset", `${directory}/${file}`);
  }
  return parents;
}

/**
 * Let the children of every cgroup between the v2 mount and `directory` have all controllers that there are. Reads first:
 * a needless write costs an RCU grace period before 6.0. A controller that cannot be enabled is left out: a limit that
 * needs it names it. Throws CgroupError only for a parent with processes of its own, where no limit could work.
 */
export function enableControllers(mountPoint: string, directory: string): void {
  const parent = dirname(directory);
  if (parent.length < mountPoint.length) return;
  if (parent.length > mountPoint.length) enableControllers(mountPoint, parent);
  const enabled = new Set(readSmallFile(`${parent}/cgroup.subtree_control`).split(" "));
  const missing = readSmallFile(`${parent}/cgroup.controllers`)
    .split(" ")
    .filter((name) => name !== "" && !enabled.has(name));
  // All at once, or none: enabled one by one, cpu and cpuset are given even by a parent with processes, and turn it into the root of a
  // threaded subtree, in which the new cgroup can hold nothing.
  if (missing.length === 0 || tryEnable(parent, missing)) return;
  for (const controller of missing) tryEnable(parent, [controller]);
}

/** False if the kernel refuses for a reason of the controllers' own. */
function tryEnable(parent: string, controllers: readonly string[]): boolean {
  try {
    writeCgroupFile(`${parent}/cgroup.subtree_control`, controllers.map((name) => `+${name}`).join(" "));
    return true;
  } catch (error) {
    const why = { EBUSY: "holds processes", EOPNOTSUPP: "is threaded" }[errnoOf(error) ?? ""];
    if (why === undefined) return false;
    const what = `no ${controllers.join(", ")} controller${controllers.length > 1 ? "s" : ""}`;
    throw new CgroupError(FIELD, `${parent} ${why}, so cgroup v2 gives its children ${what}`);
  }
}
