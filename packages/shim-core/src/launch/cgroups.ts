import {
  Cgroup,
  type CgroupHost,
  type CgroupPlan,
  DevicePrograms,
  detectCgroups,
  lazyNative,
  parseResources,
  planCgroup,
  type Spec,
} from "@trimaran/linux";
import type { Host } from "../host/host.ts";
import type { UndoStep } from "../host/undo.ts";
import type { CreateRequest } from "../task/record.ts";

/** The cgroups of containers: what holds all processes of one, however they fork. */
export class ContainerCgroups {
  readonly #native = lazyNative();
  readonly #tools = { native: this.#native, devicePrograms: new DevicePrograms(this.#native) };
  #host: CgroupHost | undefined;

  /** Make a container's, with the limits of its spec; `delete` takes it away, whoever was killed meanwhile. Throws CgroupError. */
  make(request: CreateRequest, spec: Spec, host: Host): Cgroup {
    const plan = this.#plan(request, spec);
    host.recordUndo(request.bundle, undoSteps(plan));
    return Cgroup.create(this.#cgroups, plan, parseResources(spec.linux.resources), this.#tools, { adopt: true });
  }

  /** The one that was made earlier. */
  find(request: Pick<CreateRequest, "id">, spec: Spec): Cgroup {
    return Cgroup.open(this.#cgroups, this.#plan(request, spec), this.#tools);
  }

  /** Looked at when first needed: it does not change before a reboot. */
  get #cgroups(): CgroupHost {
    this.#host ??= detectCgroups();
    return this.#host;
  }

  #plan(request: Pick<CreateRequest, "id">, spec: Spec): CgroupPlan {
    return planCgroup(this.#cgroups, spec.linux.cgroupsPath, request.id);
  }
}

/** In the order in which `delete` carries them out: nothing can be removed before its processes are gone. */
function undoSteps(plan: CgroupPlan): UndoStep[] {
  const processes = plan.unified ?? plan.hierarchies[0]?.directory;
  return [
    ...(processes === undefined ? [] : [{ verb: "kill-cgroup", path: processes } as const]),
    ...plan.directories.map((path) => ({ verb: "rmdir", path }) as const),
  ];
}
