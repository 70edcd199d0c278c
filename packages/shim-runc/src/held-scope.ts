import {
  type CgroupHost,
  type CgroupPlan,
  compileHolder,
  describeFailure,
  type LinuxResources,
  type Spec,
  startScope,
  toArchitecture,
} from "@trimaran/linux";
import type { MonitoredProcess } from "@trimaran/shim-core";
import { launchFailed } from "./layout.ts";

/** Whose scope it is. */
export interface ScopeSubject {
  readonly id: string;
  readonly cgroups: CgroupHost;
  readonly plan: CgroupPlan;
  readonly spec: Spec;
  readonly resources: LinuxResources;
}

/** Run a program in a child of the monitor. */
export type LaunchHolder = (program: Uint8Array, describe: (step: number, errno: number) => Error) => MonitoredProcess;

/**
 * Start the scope of a plan, with a process in it that waits. So it is there before init is, which is cloned into it as into any other
 * cgroup; then the holder can go. In a replay the holder is the one that waits already. Throws CgroupError.
 */
export async function startHeldScope(subject: ScopeSubject, launch: LaunchHolder): Promise<MonitoredProcess> {
  const { id, cgroups, plan, spec, resources } = subject;
  const program = compileHolder(toArchitecture(process.arch));
  const holder = launch(program.bytes, (step, errno) => launchFailed(describeFailure(program, step, errno)));
  const pid = await holder.reachedGate();
  const devices = !spec.linux.namespaces.has("user");
  try {
    await startScope(cgroups, plan, { id, pid, resources, devices, annotations: spec.annotations });
  } catch (error) {
    await endHolder(holder);
    throw error;
  }
  return holder;
}

/** Let the holder go, and wait for its end. Again is harmless. */
export async function endHolder(holder: MonitoredProcess): Promise<void> {
  if (!holder.hasExited) holder.openGate();
  await holder.exited();
}

/**
 * Whether a scope's holder takes the only place that a container's limit of processes leaves: then init cannot be cloned into the cgroup, but it
 * may still go there by itself.
 */
export function isCrowded(resources: LinuxResources | undefined): boolean {
  const limit = resources?.pids?.limit;
  return limit !== undefined && limit >= 0 && limit < 2;
}
