import {
  Cgroup,
  makeResctrl,
  NO_CGROUP,
  parseResources,
  planCgroup,
  planResctrl,
  planScope,
  removeResctrl,
  resctrlTasks,
  type Spec,
} from "@trimaran/linux";
import { endHolder, startHeldScope } from "../held-scope.ts";
import type { Context } from "./context.ts";
import { leaveScope } from "./leave-scope.ts";
import type { PassingLaunch, PassingMonitor } from "./passing-monitor.ts";
import { createCgroup } from "./rootless.ts";
import type { Places } from "./store.ts";

/** Whose places they are. */
export interface PlacedContainer {
  readonly id: string;
  readonly spec: Spec;
  readonly places: Places;
}

/** The places of a container that is being made. */
export interface MadePlaces {
  readonly cgroup: Cgroup;
  /** As a launch program wants them. */
  readonly resctrlTasks: readonly string[];
  /** To be called when a process of the container's is in the cgroup: its scope has that of its own. */
  release(): Promise<void>;
}

/** Where a container's processes will be. Makes nothing. Throws InvalidSpec, CgroupError. */
export function planPlaces({ kernel, systemdCgroup }: Context, { linux }: Spec, id: string): Places {
  const cgroup = (systemdCgroup ? planScope : planCgroup)(kernel.cgroups, linux.cgroupsPath, id);
  return { cgroup, resctrl: planResctrl(linux.intelRdt, id) };
}

/** Make them; what undoes that is put on `undo`. Throws CgroupError, InvalidSpec. */
export async function makePlaces(
  context: Context,
  monitor: PassingMonitor,
  { id, spec, places }: PlacedContainer,
  undo: AsyncDisposableStack,
): Promise<MadePlaces> {
  const { caller, kernel, warn } = context;
  const { cgroup: plan, resctrl } = places;
  const tasks = resctrlTasks(spec.linux.intelRdt, resctrl);
  const resources = parseResources(spec.linux.resources);
  const devices = !spec.linux.namespaces.has("user");
  let cgroup: Cgroup | undefined;
  undo.defer(async () => await cgroup?.remove().catch((error: unknown) => warn(String(error))));
  let release = async () => {};
  if (plan.scope !== undefined) {
    undo.defer(() => leaveScope(context, plan));
    const subject = { id, cgroups: kernel.cgroups, plan, spec, resources: resources ?? {} };
    const holder = await startHeldScope(subject, (bytes, describe) =>
      monitor.launch("scope", holderLaunch(bytes, describe)),
    );
    release = () => endHolder(holder);
    undo.defer(release);
  }
  cgroup = createCgroup(
    caller,
    spec,
    () => Cgroup.create(kernel.cgroups, plan, resources, kernel.tools, { adopt: true, devices }),
    () => Cgroup.open(kernel.cgroups, NO_CGROUP, kernel.tools),
  );
  if (resctrl !== undefined) {
    undo.defer(() => removeResctrl(resctrl.directories));
    makeResctrl(resctrl);
  }
  return { cgroup, resctrlTasks: tasks, release };
}

function holderLaunch(program: Uint8Array, describe: (step: number, errno: number) => Error): PassingLaunch {
  return { program, streams: [], describe, onSync: () => Promise.reject(new Error("a holder asks for nothing")) };
}
