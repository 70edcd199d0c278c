import type { Native } from "../syscall/native.ts";
import { ALWAYS_ALLOWED, type DeviceSet, reduceDeviceRules } from "./device-set.ts";
import { applyDevicesV1 } from "./devices-v1.ts";
import type { DevicePrograms } from "./devices-v2.ts";
import { removeCgroupDirectory, removeIfUnused, unmakeCgroupDirectories } from "./directory.ts";
import { entryDirectory } from "./entry.ts";
import { CgroupError } from "./error.ts";
import { readIfPresent } from "./files.ts";
import { type Freezer, unifiedFreezer, v1Freezer } from "./freezer.ts";
import type { CgroupHost } from "./host.ts";
import { readKeyed } from "./keyed.ts";
import { applyLimits, type Limit } from "./limits.ts";
import { compileLimitsV1 } from "./limits-v1.ts";
import { compileLimitsV2 } from "./limits-v2.ts";
import { makePlanned } from "./make.ts";
import { type OomWatch, readOomKills, toOomWatch } from "./oom.ts";
import { countLoggedOomKills } from "./oom-log.ts";
import { type CgroupPlan, isNoCgroup } from "./plan.ts";
import { killBySignals, killUnified, listProcesses, signalAll } from "./processes.ts";
import type { LinuxResources } from "./resources.ts";
import type { CgroupStats } from "./stats.ts";
import { readStatsV1 } from "./stats-v1.ts";
import { readStatsV2 } from "./stats-v2.ts";

const KILL_TIMEOUT_MS = 10_000;

/** What a cgroup needs from outside. */
export interface CgroupTools {
  readonly native: Native;
  /** Needed on v2; on v1 and hybrid the kernel's devices controller does it. */
  readonly devicePrograms: DevicePrograms;
}

/** How `Cgroup.create` behaves. */
export interface CreateCgroupOptions {
  /** Take over directories that exist, if they are empty and not frozen: a replay after a crash. Default false: EEXIST. */
  readonly adopt?: boolean;
  /** Restrict devices. Default true; false for a container in a user namespace, whose device nodes are the host's. */
  readonly devices?: boolean;
}

/** One container's cgroup, in all hierarchies of the host. Holds no fd: it is a name for directories, so nothing to close. */
export class Cgroup {
  readonly plan: CgroupPlan;
  readonly #host: CgroupHost;
  readonly #tools: CgroupTools;

  private constructor(host: CgroupHost, plan: CgroupPlan, tools: CgroupTools) {
    this.plan = plan;
    this.#host = host;
    this.#tools = tools;
  }

  /**
   * Make the cgroup: directories, cpusets, limits, devices. Everything is in force when this returns. Synchronous, about
   * 0.5 ms for 9 hierarchies. Throws CgroupError naming the field, and has then removed what it made.
   */
  static create(
    host: CgroupHost,
    plan: CgroupPlan,
    resources: LinuxResources | undefined,
    tools: CgroupTools,
    options: CreateCgroupOptions = {},
  ): Cgroup {
    const cgroup = new Cgroup(host, plan, tools);
    const limits = cgroup.#compile(resources ?? {}, host.mode === "v2" ? () => undefined : undefined);
    const devices = options.devices === false ? undefined : effectiveDevices(resources ?? {});
    const made: string[] = [];
    try {
      const fresh = makePlanned(host, plan, options.adopt === true, made);
      if (!fresh && cgroup.isFrozen())
        throw new CgroupError(`linux.cgroupsPath ${JSON.stringify(plan.path)}`, "is frozen");
      applyLimits(limits, cgroup.#directoryOf, fresh);
      if (devices !== undefined) cgroup.#applyDevices(devices, fresh);
    } catch (error) {
      unmakeCgroupDirectories(made);
      throw error;
    }
    return cgroup;
  }

  /** The cgroup of a plan that was carried out before, by this or an earlier process. Checks nothing. */
  static open(host: CgroupHost, plan: CgroupPlan, tools: CgroupTools): Cgroup {
    return new Cgroup(host, plan, tools);
  }

  /**
   * Files into which a process writes `0` to put itself in: v1's `tasks` (0.06 ms for nine), then the unified `cgroup.procs`.
   * The latter waits for an RCU grace period, 8 to 20 ms: a child cloned into `unifiedDirectory` must leave it out.
   */
  attachFiles(options: { readonly clonedIntoUnified?: boolean } = {}): string[] {
    const files = this.plan.hierarchies.map(({ directory }) => `${directory}/tasks`);
    if (this.plan.unified !== undefined && options.clonedIntoUnified !== true)
      files.push(`${this.plan.unified}/cgroup.procs`);
    return files;
  }

  /** The directory for CLONE_INTO_CGROUP, on v2 and hybrid. */
  unifiedDirectory(): string | undefined {
    return this.plan.unified;
  }

  /** The same for a process that joins `initPid`'s container, whatever that has made of its cgroup. Reads a file or two. */
  entryDirectory(initPid: number): string | undefined {
    return entryDirectory(this.plan, initPid);
  }

  /** Change limits of the live cgroup. What is not set stays. Throws CgroupError; what was written before the failure stays. */
  update(resources: LinuxResources): void {
    const limits = this.#compile(resources, undefined);
    const devices = resources.devices === undefined ? undefined : effectiveDevices(resources);
    applyLimits(limits, this.#directoryOf, false);
    if (devices !== undefined) this.#applyDevices(devices, false);
  }

  /** Freeze all processes; resolves when all stand still. On failure (10 s, abort) they run again. */
  async freeze(signal?: AbortSignal): Promise<void> {
    await this.#freezer().freeze(signal);
  }

  /** Let them run. A cgroup that is gone, or was never there, is success. */
  thaw(): void {
    if (isNoCgroup(this.plan)) return;
    this.#freezer().thaw();
  }

  /** Whether the cgroup itself is frozen; an ancestor's freezing does not count. */
  isFrozen(): boolean {
    return this.#freezer().isFrozen();
  }

  /**
   * Lend the freezer, as other programs look for one, to `job`, which may freeze and thaw by its directory: on a hybrid host that is v1's, which
   * we don't use ourselves. What `isFrozen` when it comes never runs meanwhile, and is frozen afterwards; else it runs afterwards, whatever became
   * of the job. Can be called again after a crash. The directory is undefined if there is none.
   */
  async lendFreezer<T>(isFrozen: boolean, job: (directory: string | undefined) => Promise<T>): Promise<T> {
    const directory = this.#directoryOf("freezer");
    if (directory === undefined) return await job(undefined);
    const own = this.#freezer();
    const lent = directory === this.plan.unified ? own : v1Freezer(directory);
    if (isFrozen && lent !== own) {
      await lent.freeze();
      own.thaw();
    }
    try {
      return await job(directory);
    } finally {
      if (isFrozen && this.processes().length > 0) await own.freeze();
      if (!isFrozen || lent !== own) lent.thaw();
    }
  }

  /** Pids of all processes in it and below it, in our pid namespace. */
  processes(): number[] {
    if (isNoCgroup(this.plan)) return [];
    return listProcesses(this.#processDirectory());
  }

  /** Kill every process in it, however fast they fork, and wait until all are gone (10 s at most, then CgroupError). */
  async kill(): Promise<void> {
    const { unified } = this.plan;
    const v1 = this.#v1ProcessDirectory();
    const isDone = unified !== undefined && (await killUnified(unified, KILL_TIMEOUT_MS));
    if (isDone && v1 === undefined) return;
    // on a hybrid host a process may have left one tree and not the other
    const directories = [...(isDone ? [] : this.#unifiedList()), ...(v1 === undefined ? [] : [v1])];
    for (const directory of directories) {
      await killBySignals(directory, this.#freezer(), this.#tools.native, KILL_TIMEOUT_MS);
    }
  }

  /** Send a signal to every process that is in it now, through pidfds. */
  signal(signal: number): void {
    signalAll(this.#processDirectory(), this.#tools.native, signal);
  }

  /** Counters now, shaped as containerd's Metrics of the host's cgroup version. What is missing is 0. */
  stats(): CgroupStats {
    return this.#host.mode === "v2" ? readStatsV2(this.plan.unified ?? "") : readStatsV1(this.#directoryOf);
  }

  /** All lines of memory.stat, by the kernel's names. Empty without a memory controller. */
  memoryStat(): ReadonlyMap<string, bigint> {
    const directory = this.#directoryOf("memory");
    return readKeyed(directory === undefined ? undefined : readIfPresent(`${directory}/memory.stat`));
  }

  /** What to wait on for OOM events. Undefined if the host has no memory controller. */
  oomWatch(): OomWatch | undefined {
    return toOomWatch(this.#host.mode, this.#directoryOf("memory"));
  }

  /** How often the kernel has killed for memory here. 0 if the cgroup is gone. */
  oomKills(): number {
    return readOomKills(this.#host.mode, this.#directoryOf("memory"));
  }

  /** The same by the kernel's log, since a moment in seconds after boot: for a cgroup that is gone. Reads all of the log. */
  loggedOomKills(sinceS: number): number {
    return countLoggedOomKills(this.plan.path, sinceS);
  }

  /**
   * Remove the directories, children first; then parents that the plan says we made and nobody uses, unless `keepParents`.
   * Gone is success. Nearly always done before the first await. Throws CgroupError if processes are still in it after 1 s.
   */
  async remove(options: { readonly keepParents?: boolean } = {}): Promise<void> {
    const leaves = new Set([...this.plan.hierarchies.map(({ directory }) => directory), ...this.#unifiedList()]);
    for (const directory of leaves) await removeCgroupDirectory(directory);
    if (options.keepParents === true) return;
    for (const directory of this.plan.directories) if (!leaves.has(directory)) removeIfUnused(directory);
  }

  readonly #directoryOf = (controller: string): string | undefined => {
    if (this.#host.mode === "v2") return this.plan.unified;
    return this.plan.hierarchies.find(({ controllers }) => controllers.includes(controller))?.directory;
  };

  #unifiedList(): string[] {
    return this.plan.unified === undefined ? [] : [this.plan.unified];
  }

  #compile(resources: LinuxResources, current: ((file: string) => string | undefined) | undefined): Limit[] {
    if (this.#host.mode !== "v2") return compileLimitsV1(resources);
    return compileLimitsV2(resources, current ?? ((file) => readIfPresent(`${this.plan.unified}/${file}`)));
  }

  #applyDevices(set: DeviceSet, fresh: boolean): void {
    const directory = this.#directoryOf("devices");
    if (directory === undefined)
      throw new CgroupError("linux.resources.devices", "this host has no devices controller");
    if (this.#host.mode === "v2") this.#tools.devicePrograms.apply(directory, set, fresh);
    else applyDevicesV1(directory, set, fresh);
  }

  #freezer(): Freezer {
    if (this.plan.unified !== undefined) return unifiedFreezer(this.plan.unified);
    const directory = this.#directoryOf("freezer");
    if (directory === undefined) throw new CgroupError("pause", "this host has no freezer controller");
    return v1Freezer(directory);
  }

  #processDirectory(): string {
    return this.plan.unified ?? this.#v1ProcessDirectory() ?? "";
  }

  /** Any hierarchy does: all processes are in all of them. */
  #v1ProcessDirectory(): string | undefined {
    const { hierarchies } = this.plan;
    const named = ["pids", "devices", "freezer"].map((name) =>
      hierarchies.find((one) => one.controllers.includes(name)),
    );
    return (named.find((one) => one !== undefined) ?? hierarchies[0])?.directory;
  }
}

function effectiveDevices(resources: LinuxResources): DeviceSet {
  return reduceDeviceRules([...(resources.devices ?? []), ...ALWAYS_ALLOWED]);
}
