import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  Cgroup,
  type CgroupPlan,
  compileInit,
  describeFailure,
  InvalidSpec,
  type Program,
  parseResources,
  parseSpec,
  planCgroup,
  planScope,
  readDevices,
  type StdioPlan,
} from "@trimaran/linux";
import {
  type Container,
  type CreateRequest,
  type Host,
  initKey,
  type Launch,
  type MonitoredProcess,
  type Runtime,
  SLOT,
  type UndoStep,
  watchOom,
} from "@trimaran/shim-core";
import { cgroupViews } from "./cgroup-views.ts";
import { RuncContainer } from "./container.ts";
import { features } from "./features.ts";
import { isCrowded, startHeldScope } from "./held-scope.ts";
import { Kernel } from "./kernel.ts";
import { type Layout, launchFailed } from "./layout.ts";
import { endScopeHolder, holderKey, leaveScope } from "./leave-scope.ts";
import { parseOptions } from "./options.ts";
import { SeccompFilters } from "./seccomp-filters.ts";
import { answerSync } from "./sync.ts";

const SIGKILL = 9;

/** Containers as runc makes them, without runc: the OCI spec becomes a launch program that the monitor runs. */
export class RuncRuntime implements Runtime {
  readonly name = "io.containerd.trimaran-runc.v2";
  readonly version = "0.1.0";
  readonly keepsSandboxes = true;
  readonly #kernel = new Kernel();
  readonly #filters = new SeccompFilters(this.#kernel.tools.native);

  checkOptions(options: CreateRequest["options"]): void {
    parseOptions(options);
  }

  monitorCgroup(options: CreateRequest["options"]): readonly string[] {
    const { shimCgroup } = parseOptions(options);
    if (shimCgroup === "") return [];
    const { hierarchies, unified } = planCgroup(this.#kernel.cgroups, shimCgroup, "");
    const files = hierarchies.map(({ directory }) => `${directory}/tasks`);
    return unified === undefined ? files : [...files, `${unified}/cgroup.procs`];
  }

  features(): unknown {
    return features();
  }

  async create(request: CreateRequest, host: Host): Promise<Container> {
    const layout = this.#layout(request, host);
    const { cgroupPlan } = layout;
    const key = initKey(request.id);
    host.recordUndo(request.bundle, undoSteps(cgroupPlan));
    let cgroup: Cgroup | undefined;
    let init: MonitoredProcess | undefined;
    try {
      if (cgroupPlan.scope !== undefined && !host.has(key)) await this.#startScope(layout, host);
      cgroup = this.#openCgroup(layout, host.has(key));
      const stdio = await host.openStdio(key, request.stdio, { ...request, owner: owner(layout) });
      const program = this.#compile(layout, cgroup, stdio.plan, host);
      const watches = cgroup.oomWatch() ? [SLOT.watch] : [];
      init = host.launch(key, {
        ...this.#handlers(layout, program),
        program: program.bytes,
        stdio,
        watches,
      });
      await init.reachedGate();
      if (cgroupPlan.scope !== undefined) await endScopeHolder(host, request.id);
      host.recordProcess(request.bundle, init);
      return this.#container(layout, host, cgroup, init);
    } catch (error) {
      if (init && !init.hasExited) await host.signal(init, SIGKILL).catch(() => undefined); // its program failed: it ends by itself
      await init?.exited();
      host.forget(key);
      await leaveScope(layout, host);
      await cgroup?.remove();
      host.clearUndo(request.bundle);
      throw error;
    }
  }

  recover(request: CreateRequest, host: Host): Container {
    const layout = this.#layout(request, host);
    const cgroup = Cgroup.open(this.#kernel.cgroups, layout.cgroupPlan, this.#kernel.tools);
    const init = host.find(initKey(request.id), this.#handlers(layout, undefined));
    return this.#container(layout, host, cgroup, init);
  }

  /** In a replay after the clone init is in it already. */
  #openCgroup({ spec, cgroupPlan }: Layout, hasInit: boolean): Cgroup {
    const { cgroups, tools } = this.#kernel;
    if (hasInit) return Cgroup.open(cgroups, cgroupPlan, tools);
    const devices = !spec.linux.namespaces.has("user"); // there its nodes are the host's, and the kernel refuses the rest
    return Cgroup.create(cgroups, cgroupPlan, parseResources(spec.linux.resources), tools, { adopt: true, devices });
  }

  async #startScope({ request, spec, cgroupPlan }: Layout, host: Host): Promise<void> {
    const resources = parseResources(spec.linux.resources) ?? {};
    const subject = { id: request.id, cgroups: this.#kernel.cgroups, plan: cgroupPlan, spec, resources };
    await startHeldScope(subject, (program, describe) => host.launch(holderKey(request.id), { program, describe }));
  }

  #container(layout: Layout, host: Host, cgroup: Cgroup, init: MonitoredProcess): RuncContainer {
    return new RuncContainer({
      layout,
      host,
      cgroup,
      init,
      cgroups: this.#kernel.cgroups,
      features: this.#kernel.features,
      filters: this.#filters,
    });
  }

  #layout(request: CreateRequest, host: Host): Layout {
    const options = parseOptions(request.options);
    const spec = parseSpec(readConfig(request.bundle));
    const plan = options.systemdCgroup ? planScope : planCgroup;
    const planned = plan(this.#kernel.cgroups, spec.linux.cgroupsPath, request.id);
    // Which parents are ours to remove was decided before they existed; an earlier task server wrote it down.
    const recorded = host.recordedUndo(request.bundle).flatMap((step) => (step.verb === "rmdir" ? [step.path] : []));
    const cgroupPlan = recorded.length > 0 ? { ...planned, directories: recorded } : planned;
    return { request, spec, options, cgroupPlan };
  }

  #compile(layout: Layout, cgroup: Cgroup, stdio: StdioPlan, host: Host): Program {
    const { request, spec } = layout;
    const seccomp = this.#filters.compile(spec.linux.seccomp, host.cacheDirectory);
    const watch = cgroup.oomWatch();
    const isCloned = layout.cgroupPlan.scope === undefined || !isCrowded(parseResources(spec.linux.resources));
    const into = isCloned ? cgroup.unifiedDirectory() : undefined;
    return compileInit({
      id: request.id,
      spec,
      bundle: request.bundle,
      rootfs: request.rootfs,
      stdio,
      cgroup: {
        attachFiles: cgroup.attachFiles({ clonedIntoUnified: isCloned }),
        ...(into === undefined ? {} : { into }),
        ownDirs: cgroupViews(this.#kernel.cgroups, layout.cgroupPlan),
      },
      ...(seccomp === undefined ? {} : { seccomp }),
      // In a replay after the clone they may have been moved, and the program is not run again.
      netDevices: host.has(initKey(request.id)) ? [] : readDevices(spec.linux.netDevices, "throw"),
      host: this.#kernel.features,
      newKeyring: !layout.options.noNewKeyring,
      ...(watch === undefined ? {} : { prelude: (builder) => watchOom(builder, watch) }),
    });
  }

  /** What the monitor's news of init mean. After a restart the program is gone, and with it the names of its steps. */
  #handlers({ request, spec }: Layout, program: Program | undefined): Pick<Launch, "describe" | "onSync"> {
    return {
      describe: (step, errno) =>
        launchFailed(program ? describeFailure(program, step, errno) : `step ${step}: errno ${errno}`),
      onSync: (sync, process) => answerSync(sync, process, { id: request.id, bundle: request.bundle, spec }),
    };
  }
}

function owner({ options }: Layout): { readonly uid: number; readonly gid: number } {
  return { uid: options.ioUid, gid: options.ioGid };
}

function readConfig(bundle: string): Buffer {
  try {
    return readFileSync(join(bundle, "config.json"));
  } catch (error) {
    throw new InvalidSpec(
      "config.json",
      `can't be read from the bundle ${bundle} (${error instanceof Error ? error.message : error})`,
    );
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
