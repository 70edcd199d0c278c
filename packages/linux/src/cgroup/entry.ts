import { readIfPresent } from "./files.ts";
import type { CgroupPlan } from "./plan.ts";

/**
 * The unified directory into which another process of a container can be cloned. That is the container's own, unless the container
 * has handed controllers to cgroups inside it (systemd, a container engine): then v2 lets no process into any but the leaves, and the
 * new one goes where init is. Undefined without a unified tree. Source: Linux, cgroup-v2.rst, "No Internal Process Constraint".
 */
export function entryDirectory(plan: CgroupPlan, initPid: number): string | undefined {
  if (plan.unified === undefined) return undefined;
  const handedOn = readIfPresent(`${plan.unified}/cgroup.subtree_control`);
  if (handedOn === undefined || handedOn.trim() === "") return plan.unified;
  return directoryOfInit(plan, readIfPresent(`/proc/${initPid}/cgroup`) ?? "") ?? plan.unified;
}

/**
 * Where a process is in the unified tree, by the text of its /proc/PID/cgroup. Undefined if that is not inside the container's own
 * cgroup: what a container reports is never followed to elsewhere.
 */
export function directoryOfInit(plan: CgroupPlan, text: string): string | undefined {
  const { unified, unifiedMountPoint } = plan;
  const path = /^0::(\/.*)$/m.exec(text)?.[1];
  if (unified === undefined || unifiedMountPoint === undefined || path === undefined) return undefined;
  const own = unified.slice(unifiedMountPoint.length); // what precedes it depends on the root of the mount
  const at = `${path}/`.indexOf(`${own}/`);
  const inside = at < 0 ? undefined : path.slice(at + own.length);
  return inside === undefined || inside.split("/").includes("..") ? undefined : unified + inside;
}
