import { existsSync, mkdirSync, rmSync } from "node:fs";
import { type CgroupPlan, planCgroup } from "@trimaran/linux";
import type { CreateRequest, Host, UndoStep } from "@trimaran/shim-core";
import { type GvisorConfig, parseConfig } from "../config/config.ts";
import type { Machine } from "../machine.ts";
import { type Membership, membershipOf } from "./membership.ts";
import { type GvisorSpec, readSpec } from "./spec.ts";
import { claimRoot, leaveRoot } from "./state-root.ts";

/** Everything about a container that its bundle and request determine: a restarted task server works it out again. */
export interface Layout {
  readonly request: CreateRequest;
  readonly spec: GvisorSpec;
  readonly config: GvisorConfig;
  readonly membership: Membership;
  readonly cgroupPlan: CgroupPlan;
  /** The container's name for runsc. */
  readonly runscId: string;
  /** runsc's state directory, shared by the namespace: a pod's containers find their sandbox there. */
  readonly root: string;
  /** Folder of the bundle for what runsc writes. */
  readonly work: string;
}

/**
 * runsc takes the beginning of an id for the whole: with `web` and `web-2` it knows no `web`, and once `web` has gone, it takes `web-2` for it. No
 * id of containerd's contains this character, so that none with it is the beginning of another. A pod's first container goes without: its members'
 * annotations name it, and CRI's ids have one length.
 */
const ID_END = "+";

/** Work out a container's layout. Throws InvalidSpec, InvalidArgument or CgroupError naming the field. */
export function planLayout(request: CreateRequest, host: Host, machine: Machine): Layout {
  const config = parseConfig(request.options);
  const spec = readSpec(request.bundle);
  const membership = membershipOf(spec);
  const planned = planCgroup(machine.cgroups, spec.cgroupsPath, request.id);
  // Which parents are ours to remove was decided before they existed; an earlier task server wrote it down.
  const recorded = host.recordedUndo(request.bundle).flatMap((step) => (step.verb === "rmdir" ? [step.path] : []));
  return {
    request,
    spec,
    config,
    membership,
    runscId: membership.kind === "first" ? request.id : `${request.id}${ID_END}`,
    cgroupPlan: recorded.length > 0 ? { ...planned, directories: recorded } : planned,
    root: `${config.root}/${request.namespace}`,
    work: `${request.bundle}/runsc`,
  };
}

/** The folders that runsc writes to. */
export function makeFolders(layout: Layout): void {
  mkdirSync(layout.work, { recursive: true, mode: 0o700 });
  claimRoot(layout.root, `${stateName(layout)}.lock`);
}

/** runsc's files about a container: with its processes dead and these gone, runsc knows nothing of it. */
export function stateFiles(layout: Layout): string[] {
  const { root, membership, runscId: id } = layout;
  const { rootfs } = layout.request;
  const name = stateName(layout);
  const socket = membership.kind === "member" ? [] : [`${root}/runsc-${id}.sock`];
  // what a container writes over its rootfs, where the flag overlay2 says `self`, lies in a file of that rootfs
  const upper = rootfs.flatMap(({ options }) => options.filter((option) => option.startsWith("upperdir=")));
  const stores = upper.map((option) => `${option.slice(9)}/.gvisor.filestore.${id}`);
  return [`${root}/${name}.state`, `${root}/${name}.lock`, ...socket, ...stores];
}

/** Whether runsc knows the container. */
export function hasState(layout: Layout): boolean {
  return existsSync(`${layout.root}/${stateName(layout)}.state`);
}

/** Take the container's files away, and the directory after its last container. */
export function removeState(layout: Layout): void {
  for (const path of stateFiles(layout)) rmSync(path, { force: true });
  leaveRoot(layout.root);
}

/** How runsc begins the names of a container's files. */
function stateName({ runscId: id, membership }: Layout): string {
  return `${id}_sandbox:${membership.kind === "member" ? membership.sandboxId : id}`;
}

/**
 * What `delete` does where all else has failed. The cgroup holds a sandbox's every process; a member's holds its gofer. No mount is on
 * the list: they die with the processes that see them.
 */
export function undoSteps(layout: Layout): UndoStep[] {
  const { cgroupPlan } = layout;
  const processes = cgroupPlan.unified ?? cgroupPlan.hierarchies[0]?.directory;
  return [
    ...(processes === undefined ? [] : [{ verb: "kill-cgroup", path: processes } as const]),
    ...cgroupPlan.directories.map((path) => ({ verb: "rmdir", path }) as const),
    ...stateFiles(layout).map((path) => ({ verb: "unlink", path }) as const),
    { verb: "leave", path: layout.root },
  ];
}
