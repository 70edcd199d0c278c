import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { readIfPresent, writeCgroupFile } from "../cgroup/files.ts";
import type { IntelRdt } from "../spec/intel-rdt.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import { errnoOf, toSyscallError } from "../syscall/errno.ts";
import { findResctrl } from "./mount.ts";
import { findMismatch, parseSchemata } from "./schemata.ts";

const FIELD = "linux.intelRdt";

/** A container's place in resctrl. Paths are absolute. */
export interface ResctrlPlan {
  readonly wanted: IntelRdt;
  /** Where resctrl is mounted. */
  readonly root: string;
  /** The directory of its class of service. */
  readonly group: string;
  /** The directory of its monitoring group, if it wants one. */
  readonly monitor: string | undefined;
  /** Files into which a process writes `0` to put itself in, in this order: a monitoring group takes none of another class. */
  readonly tasks: readonly string[];
  /** What is the container's own, and is removed with it: children first. A class with a name of its own is not. */
  readonly directories: readonly string[];
}

/** What `linux.intelRdt` comes to for a container, if it is given, where resctrl is mounted: an operator may do that at any time. */
export function planResctrl(
  wanted: IntelRdt | undefined,
  id: string,
  find: () => string | undefined = findResctrl,
): ResctrlPlan | undefined {
  const root = wanted && find();
  if (wanted === undefined || root === undefined) return undefined;
  const { closId, enableMonitoring } = wanted;
  const group = join(root, closId ?? id);
  const monitor = enableMonitoring ? join(group, "mon_groups", id) : undefined;
  const own = [...(monitor === undefined ? [] : [monitor]), ...(closId === undefined ? [group] : [])];
  const places = monitor === undefined ? [group] : [group, monitor];
  return { wanted, root, group, monitor, tasks: places.map((place) => join(place, "tasks")), directories: own };
}

/** Files into which a process writes `0` for its place in resctrl. Throws InvalidSpec where one is wanted, and resctrl is not mounted. */
export function resctrlTasks(wanted: IntelRdt | undefined, plan: ResctrlPlan | undefined): readonly string[] {
  if (wanted !== undefined && plan === undefined) throw new InvalidSpec(FIELD, "no resctrl file system is mounted");
  return plan?.tasks ?? [];
}

/** Those of them that are there, for one more process: whoever keeps the classes may have taken this one away. */
export function presentTasks(plan: ResctrlPlan | undefined): readonly string[] {
  return plan?.tasks.filter((file) => existsSync(file)) ?? [];
}

/**
 * Carry a plan out; again is harmless. A class that others made must have the limits that are wanted, and without limits it must be there; one that
 * a crash has left without its limits is an error, too, as it may be somebody's. Throws InvalidSpec, and leaves nothing that it has made.
 * `makeDirectory` is mkdir(2), which makes a group's files, too, where the file system is resctrl.
 * Source: runtime-spec 1.3, "IntelRdt"; the kernel's resctrl.rst.
 */
export function makeResctrl(plan: ResctrlPlan, makeDirectory = (path: string): void => mkdirSync(path)): void {
  const { wanted, group, monitor } = plan;
  const made: string[] = [];
  const make = (directory: string, field: string): boolean => {
    try {
      makeDirectory(directory);
      made.push(directory);
      return true;
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return false;
      throw new InvalidSpec(field, reasonOf(error, directory));
    }
  };
  try {
    const isGiven = wanted.closId !== undefined && wanted.limits.length + wanted.schemata.length === 0;
    if (isGiven) expectGroup(plan);
    else if (make(group, FIELD) || wanted.closId === undefined) updateResctrl(plan, wanted.limits);
    else compare(plan);
    updateResctrl(plan, wanted.schemata);
    if (monitor !== undefined) make(monitor, `${FIELD}.enableMonitoring`);
  } catch (error) {
    removeResctrl(made.reverse());
    throw error;
  }
}

/** Set limits of a container's class, also where others share it. Lines as in `schemata`; none: nothing. Throws InvalidSpec. */
export function updateResctrl({ root, group }: ResctrlPlan, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const file = join(group, "schemata");
  try {
    writeCgroupFile(file, `${lines.join("\n")}\n`); // in one write: the kernel takes whole lines
  } catch (error) {
    throw new InvalidSpec(`${FIELD}.schemata`, `${reasonOf(error, file)}${lastStatus(root)}`, lines.join("\n"));
  }
}

/** Remove directories of a plan's. Never fails: what is gone, or busy, stays as it is. */
export function removeResctrl(directories: readonly string[]): void {
  for (const directory of directories) {
    try {
      rmdirSync(directory); // processes that are still in it come back to where the group was
    } catch {
      // gone with the mount, or by somebody else's hand
    }
  }
}

function expectGroup({ wanted: { closId }, group }: ResctrlPlan): void {
  if (!existsSync(join(group, "tasks")))
    throw new InvalidSpec(`${FIELD}.closID`, `there is no ${group}, and no schema to make it with`, closId);
}

function compare({ wanted: { closId, limits }, root, group }: ResctrlPlan): void {
  const lines = readFileSync(join(group, "schemata"), "utf8").split("\n");
  const why = findMismatch(parseSchemata(limits), parseSchemata(lines), bandwidthStep(root));
  if (why !== undefined)
    throw new InvalidSpec(`${FIELD}.closID`, `${group} is there with other limits: ${why}`, closId);
}

/** What bandwidths are rounded up to, in percent; 1 where the kernel does not say. */
function bandwidthStep(root: string): number {
  return Number(readIfPresent(join(root, "info/MB/bandwidth_gran"))) || 1;
}

/** What the kernel says of the last failure, in words. */
function lastStatus(root: string): string {
  const text = readIfPresent(join(root, "info/last_cmd_status"))?.trim() ?? "";
  return text === "" || text === "ok" ? "" : `: ${text}`;
}

function reasonOf(error: unknown, path: string): string {
  if (errnoOf(error) === "ENOSPC")
    return `the processor has no class of service, or monitor, left for ${path} (ENOSPC)`;
  if (errnoOf(error) === "ENOENT" && path.includes("/mon_groups/"))
    return `there is no ${dirname(path)}: this machine has no RDT monitoring`;
  const known = toSyscallError(error);
  return known instanceof Error ? known.message : String(known);
}
