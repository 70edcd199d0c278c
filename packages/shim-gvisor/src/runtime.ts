import { Cgroup, parseResources, planCgroup } from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  type Container,
  type CreateRequest,
  type Host,
  initKey,
  type MonitoredProcess,
  type Runtime,
} from "@trimaran/shim-core";
import { parseConfig } from "./config/config.ts";
import { recordedBinary, writeEffective } from "./config/effective.ts";
import { checkFlags, runscFlags } from "./config/flags.ts";
import { commandKey } from "./container/commands.ts";
import { GvisorContainer } from "./container/container.ts";
import { findContainer, isMade, type Made, makeContainer, readPid } from "./container/create.ts";
import { FirstProcess, MemberProcess } from "./container/init-process.ts";
import { type Layout, makeFolders, planLayout, undoSteps } from "./container/layout.ts";
import type { Making } from "./container/making.ts";
import { prepareRestore } from "./container/restore.ts";
import { rewriteVolumes } from "./container/rewrite-spec.ts";
import { Sandboxes } from "./container/sandboxes.ts";
import { UnfinishedContainer, unmake } from "./container/unfinished.ts";
import { Machine } from "./machine.ts";
import { findBinary } from "./runsc/binary.ts";
import { Runsc } from "./runsc/runsc.ts";

/** Containers in gVisor sandboxes: what runsc does, run by the monitor. */
export class GvisorRuntime implements Runtime {
  readonly name = "io.containerd.trimaran-gvisor.v2";
  readonly version = "0.1.0";
  readonly restores = true;
  readonly #machine: Machine;
  readonly #sandboxes = new Sandboxes();

  /** `path`: where runsc is looked for, and what it gets as PATH. */
  constructor(environment: { readonly path: string }) {
    this.#machine = new Machine(environment.path);
  }

  checkOptions(options: CreateRequest["options"]): void {
    findBinary(parseConfig(options).binaryName, this.#machine.searchPath);
  }

  monitorCgroup(options: CreateRequest["options"]): readonly string[] {
    const { shimCgroup } = parseConfig(options);
    if (shimCgroup === "") return [];
    const { hierarchies, unified } = planCgroup(this.#machine.cgroups, shimCgroup, "");
    const files = hierarchies.map(({ directory }) => `${directory}/tasks`);
    return unified === undefined ? files : [...files, `${unified}/cgroup.procs`];
  }

  async create(request: CreateRequest, host: Host): Promise<Container> {
    const layout = planLayout(request, host, this.#machine);
    const binary = await this.#machine.runsc(layout.config.binaryName);
    checkFlags(layout.config, binary);
    const wished = layout.config.flags.get("platform")?.value;
    const platform =
      layout.membership.kind === "member"
        ? undefined // its sandbox has one
        : await inSpan("platform", () =>
            this.#machine.platforms.choose(binary, wished?.toString(), host.cacheDirectory),
          );
    host.recordUndo(request.bundle, undoSteps(layout));
    makeFolders(layout);
    if (layout.membership.kind !== "alone") rewriteVolumes(request.bundle, layout.membership.kind);
    writeEffective(layout, binary, platform);
    let making: Making | undefined;
    try {
      making = this.#making(layout, host, this.#openCgroup(layout, host));
      if (request.checkpoint !== undefined) return await this.#prepareRestore(making, platform);
      const made = await makeContainer(making, platform);
      return await this.#adopt(making, made);
    } catch (error) {
      await this.#unmake(layout, host, making);
      throw error;
    }
  }

  async recover(request: CreateRequest, host: Host): Promise<Container> {
    const layout = planLayout(request, host, this.#machine);
    const cgroup = Cgroup.open(this.#machine.cgroups, layout.cgroupPlan, this.#machine.tools);
    const making = this.#making(layout, host, cgroup);
    if (request.checkpoint !== undefined && host.has(initKey(request.id)))
      return await this.#prepareRestore(making, undefined);
    if (!isMade(layout)) return new UnfinishedContainer(making, this.#begun(request.id, host));
    const { ioUid: uid, ioGid: gid } = layout.config;
    const stdio = await host.openStdio(initKey(request.id), request.stdio, { ...request, owner: { uid, gid } });
    return this.#container(making, findContainer(making, stdio));
  }

  async #prepareRestore(making: Making, platform: string | undefined): Promise<Container> {
    const { layout, host } = making;
    const { request, config } = layout;
    const owner = { uid: config.ioUid, gid: config.ioGid };
    const stdio = await host.openStdio(initKey(request.id), request.stdio, { ...request, owner });
    const { command, gated, stdio: holder } = await prepareRestore(making, stdio, platform);
    let pid = 0; // until there is a sandbox
    const adopt = async (): Promise<MonitoredProcess> => {
      pid = readPid(layout);
      const sandbox = this.#sandboxes.process(host, pid);
      await sandbox.spawned();
      host.recordProcess(request.bundle, sandbox);
      return sandbox;
    };
    const sandbox = isMade(layout) ? await adopt() : undefined;
    return new GvisorContainer({
      ...making,
      sandbox,
      init: new FirstProcess(holder, sandbox),
      gated,
      restore: { command, adopt },
      leavesRunning: () => this.#leavesRunning(making),
      release: () => pid !== 0 && this.#sandboxes.forget(host, pid),
    });
  }

  /** Older ones make another sandbox, and stay in the foreground with it. They are those without directfs. */
  async #leavesRunning({ runsc }: Making): Promise<boolean> {
    return (await this.#machine.runsc(runsc.place.path)).flags.has("directfs");
  }

  /** The process that the cut short Create had come to. */
  #begun(id: string, host: Host): MonitoredProcess {
    const key = host.has(initKey(id)) ? initKey(id) : commandKey(id, "create");
    return host.find(key, { describe: (step, errno) => new Error(`step ${step}: errno ${errno}`) });
  }

  async #adopt(making: Making, made: Made): Promise<Container> {
    const { host, layout } = making;
    const sandbox = this.#sandboxes.process(host, made.sandboxPid);
    await sandbox.spawned();
    if (layout.membership.kind !== "member") host.recordProcess(layout.request.bundle, sandbox);
    return this.#container(making, made);
  }

  #container(making: Making, made: Made): GvisorContainer {
    const { layout, host } = making;
    const isMember = layout.membership.kind === "member";
    const sandbox = this.#sandboxes.process(host, made.sandboxPid);
    return new GvisorContainer({
      ...making,
      sandbox,
      init: isMember ? new MemberProcess(made.stdio, sandbox) : new FirstProcess(made.stdio, sandbox),
      gated: made.gated,
      leavesRunning: () => this.#leavesRunning(making),
      release: () => !isMember && this.#sandboxes.forget(host, made.sandboxPid),
    });
  }

  #making(layout: Layout, host: Host, cgroup: Cgroup): Making {
    const machine = this.#machine;
    const { config, root, work } = layout;
    const runsc = new Runsc(host, {
      path: recordedBinary(work) ?? findBinary(config.binaryName, machine.searchPath),
      root,
      work,
      flags: runscFlags(config, layout.request.id),
      searchPath: machine.searchPath,
    });
    return { layout, host, machine, runsc, cgroup };
  }

  /** runsc joins a cgroup that it finds, and leaves its limits alone. The sandbox's devices are runsc's own business. */
  #openCgroup({ request, spec, cgroupPlan }: Layout, host: Host): Cgroup {
    const { cgroups, tools } = this.#machine;
    const isKnown = host.has(initKey(request.id)) || host.has(commandKey(request.id, "create"));
    if (isKnown) return Cgroup.open(cgroups, cgroupPlan, tools); // a replay: runsc is at it, or was
    const resources = parseResources(spec.resources);
    return Cgroup.create(cgroups, cgroupPlan, resources, tools, { adopt: true, devices: false });
  }

  async #unmake(layout: Layout, host: Host, making: Making | undefined): Promise<void> {
    const { id, bundle } = layout.request;
    if (making) await unmake(making);
    for (const key of [initKey(id), ...host.keys(commandKey(id, ""))]) host.forget(key);
    host.clearUndo(bundle);
  }
}
