import {
  Cgroup,
  describeFailure,
  makeResctrl,
  type Program,
  parseResources,
  planCgroup,
  removeResctrl,
} from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
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
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { AdoptedProcess } from "./adopted-process.ts";
import { cgroupViews } from "./cgroup-views.ts";
import { type Compiler, compileStart, planLayout, readConfig } from "./compile.ts";
import { type ContainerParts, RuncContainer } from "./container.ts";
import { findCriu } from "./criu/binary.ts";
import type { MountedContainer } from "./criu/mounts.ts";
import { Restoration } from "./criu/restore.ts";
import { features } from "./features.ts";
import { startHeldScope } from "./held-scope.ts";
import { Kernel } from "./kernel.ts";
import { type Layout, launchFailed } from "./layout.ts";
import { endScopeHolder, holderKey, leaveScope } from "./leave-scope.ts";
import { parseOptions } from "./options.ts";
import { podHolders } from "./pod-holder.ts";
import { SeccompFilters } from "./seccomp-filters.ts";
import { stepSpans } from "./step-spans.ts";
import { answerSync } from "./sync.ts";

const SIGKILL = 9;

/** Containers as runc makes them, without runc: the OCI spec becomes a launch program that the monitor runs. */
export class RuncRuntime implements Runtime {
  readonly name = "io.containerd.trimaran-runc.v2";
  readonly version = "0.1.0";
  readonly keepsSandboxes = true;
  readonly sandboxes = podHolders;
  readonly restores = true;
  readonly #searchPath: string;
  readonly #kernel = new Kernel();
  readonly #filters = new SeccompFilters(this.#kernel.tools.native);

  /** `path`: where criu is looked for, and what it gets as PATH. */
  constructor(environment: { readonly path: string }) {
    this.#searchPath = environment.path;
  }

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
    host.recordUndo(request.bundle, undoSteps(layout));
    let cgroup: Cgroup | undefined;
    let init: MonitoredProcess | undefined;
    try {
      if (cgroupPlan.scope !== undefined && !host.has(key)) await this.#startScope(layout, host);
      cgroup = inSpan("cgroup", () => this.#openCgroup(layout, host.has(key)));
      if (layout.resctrl !== undefined) makeResctrl(layout.resctrl);
      if (request.checkpoint !== undefined) {
        const container = await this.#prepareRestore(layout, host, cgroup);
        if (cgroupPlan.scope !== undefined) await endScopeHolder(host, request.id);
        return container;
      }
      const stdio = await host.openStdio(key, request.stdio, { ...request, owner: owner(layout) });
      const plan = { layout, cgroup, stdio: stdio.plan, isReplay: host.has(key) };
      const program = inSpan("compile", () => compileStart(this.#compiler(host), plan));
      const watches = cgroup.oomWatch() ? [SLOT.watch] : [];
      const last = watches.length > 0 && cgroupPlan.scope !== undefined && { last: SLOT.last };
      await inSpan("launch", () => {
        init = host.launch(key, {
          ...this.#handlers(layout, program),
          program: program.bytes,
          stdio,
          watches,
          ...last,
        });
        return init.reachedGate();
      });
      if (init === undefined) throw new Error("unreachable: it was launched");
      if (cgroupPlan.scope !== undefined) await endScopeHolder(host, request.id);
      host.recordProcess(request.bundle, init);
      return this.#container(layout, host, cgroup, init);
    } catch (error) {
      if (init && !init.hasExited) await host.signal(init, SIGKILL).catch(() => undefined); // its program failed: it ends by itself
      await init?.exited();
      host.forget(key);
      await leaveScope(layout, host);
      await cgroup?.remove();
      removeResctrl(layout.resctrl?.directories ?? []);
      host.clearUndo(request.bundle);
      throw error;
    }
  }

  async recover(request: CreateRequest, host: Host): Promise<Container> {
    const layout = this.#layout(request, host);
    const cgroup = Cgroup.open(this.#kernel.cgroups, layout.cgroupPlan, this.#kernel.tools);
    if (request.checkpoint !== undefined) return await this.#prepareRestore(layout, host, cgroup);
    const init = host.find(initKey(request.id), this.#handlers(layout, undefined));
    return this.#container(layout, host, cgroup, init);
  }

  /** A container that runs, made by somebody else from the same config.json: its init is not a child of our monitor. Makes nothing. */
  adopt(request: CreateRequest, host: Host, initPid: number): Container {
    const layout = this.#layout(request, host);
    const cgroup = Cgroup.open(this.#kernel.cgroups, layout.cgroupPlan, this.#kernel.tools);
    return this.#container(layout, host, cgroup, new AdoptedProcess(initKey(request.id), initPid));
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

  async #prepareRestore(layout: Layout, host: Host, cgroup: Cgroup): Promise<RuncContainer> {
    const criu = this.#criu(layout);
    if (criu === undefined)
      throw new StatusError(Code.FailedPrecondition, `checkpoint: criu is not installed (PATH: ${this.#searchPath})`);
    const { features } = this.#kernel;
    const mounted = this.#mounted(layout);
    const parts = { layout, host, cgroup, criu, searchPath: this.#searchPath, features, mounted };
    return this.#container(layout, host, cgroup, await Restoration.prepare(parts));
  }

  #criu({ options }: Layout): string | undefined {
    return findCriu(this.#searchPath, options.criuPath);
  }

  #mounted({ spec, request: { bundle }, cgroupPlan }: Layout): MountedContainer {
    return { spec, bundle, cgroups: cgroupViews(this.#kernel.cgroups, cgroupPlan) };
  }

  #container(layout: Layout, host: Host, cgroup: Cgroup, init: ContainerParts["init"]): RuncContainer {
    return new RuncContainer({
      mounted: this.#mounted(layout),
      searchPath: this.#searchPath,
      criu: () => this.#criu(layout),
      layout,
      host,
      cgroup,
      init,
      cgroups: this.#kernel.cgroups,
      compiler: this.#compiler(host),
    });
  }

  #layout(request: CreateRequest, host: Host): Layout {
    const layout = planLayout(request, readConfig(request.bundle), this.#kernel.cgroups);
    // Which parents are ours to remove was decided before they existed; an earlier task server wrote it down.
    const groups = layout.resctrl?.directories ?? [];
    const recorded = host
      .recordedUndo(request.bundle)
      .flatMap((step) => (step.verb === "rmdir" && !groups.includes(step.path) ? [step.path] : []));
    if (recorded.length === 0) return layout;
    return { ...layout, cgroupPlan: { ...layout.cgroupPlan, directories: recorded } };
  }

  #compiler({ cacheDirectory }: Host): Compiler {
    return { kernel: this.#kernel, filters: this.#filters, cacheDirectory };
  }

  /** What the monitor's news of init mean. After a restart the program is gone, and with it the names of its steps. */
  #handlers({ request, spec }: Layout, program: Program | undefined): Pick<Launch, "describe" | "onSync"> {
    const takesTimes = program && stepSpans(program);
    return {
      describe: (step, errno) =>
        launchFailed(program ? describeFailure(program, step, errno) : `step ${step}: errno ${errno}`),
      onSync: (sync, process) =>
        takesTimes?.(sync) ? 0n : answerSync(sync, process, { id: request.id, bundle: request.bundle, spec }),
    };
  }
}

function owner({ options }: Layout): { readonly uid: number; readonly gid: number } {
  return { uid: options.ioUid, gid: options.ioGid };
}

/** In the order in which `delete` carries them out: nothing can be removed before its processes are gone. */
function undoSteps({ cgroupPlan, resctrl }: Layout): UndoStep[] {
  const processes = cgroupPlan.unified ?? cgroupPlan.hierarchies[0]?.directory;
  return [
    ...(processes === undefined ? [] : [{ verb: "kill-cgroup", path: processes } as const]),
    ...[...(resctrl?.directories ?? []), ...cgroupPlan.directories].map((path) => ({ verb: "rmdir", path }) as const),
  ];
}
