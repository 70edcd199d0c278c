import { makeCgroupDirectory } from "./directory.ts";
import { CgroupError } from "./error.ts";
import type { CgroupHost } from "./host.ts";
import { enableControllers, fillCpuset } from "./inherit.ts";
import type { CgroupPlan } from "./plan.ts";
import { listProcesses } from "./processes.ts";

/**
 * Make the directories of a plan, with what their parents must give them: cpusets (v1), controllers (v2). What it makes is
 * pushed to `made`. Returns whether all directories are new; with `adopt` an existing one is taken if no process is in it, or if it is a
 * scope's: systemd has made that, with the process that holds it.
 * Throws CgroupError and leaves the undoing to the caller.
 */
export function makePlanned(host: CgroupHost, plan: CgroupPlan, adopt: boolean, made: string[]): boolean {
  const field = `linux.cgroupsPath ${JSON.stringify(plan.path)}`;
  const make = (mountPoint: string, directory: string): boolean => {
    if (makeCgroupDirectory(mountPoint, directory, made)) return true;
    if (plan.scope !== undefined) return false;
    if (!adopt) throw new CgroupError(field, `${directory} exists already`);
    const [pid] = listProcesses(directory);
    if (pid !== undefined) throw new CgroupError(field, `${directory} is in use by process ${pid}`);
    return false;
  };
  let fresh = true;
  for (const { mountPoint, directory, controllers } of plan.hierarchies) {
    const isNew = make(mountPoint, directory);
    if (controllers.includes("cpuset")) fillCpuset(mountPoint, directory, isNew);
    fresh &&= isNew;
  }
  const { unified, unifiedMountPoint } = plan;
  if (unified === undefined || unifiedMountPoint === undefined) return fresh;
  fresh = make(unifiedMountPoint, unified) && fresh;
  if (host.mode === "v2") enableControllers(unifiedMountPoint, unified);
  return fresh;
}
