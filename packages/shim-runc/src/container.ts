import {
  type Cgroup,
  type CgroupHost,
  type CgroupStats,
  describeFailure,
  type HookStatus,
  hookState,
  parseExecProcess,
  parseOomKills,
  parseResources,
  removeResctrl,
  type Spec,
  updateScope,
} from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  type CheckpointRequest,
  type Container,
  type ContainerProcess,
  type ExecRequest,
  execKey,
  type Host,
  MonitoredProcess,
  type RequestKey,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { AdoptedProcess } from "./adopted-process.ts";
import { type Compiler, compileJoin } from "./compile.ts";
import { checkNamespaces } from "./criu/check-namespaces.ts";
import { takeCheckpoint } from "./criu/checkpoint.ts";
import type { MountedContainer } from "./criu/mounts.ts";
import { Restoration } from "./criu/restore.ts";
import { RestoredProcess } from "./criu/restored-process.ts";
import { runHooks } from "./hooks.ts";
import { type Layout, launchFailed } from "./layout.ts";
import { leaveScope } from "./leave-scope.ts";
import { stepSpans } from "./step-spans.ts";
import { answerSync } from "./sync.ts";

const SIGKILL = 9;
/** A second of /proc/PID/stat, on every architecture that we know. Source: time(7), USER_HZ. */
const CLOCK_TICKS = 100;

/** What a running container is made of. */
export interface ContainerParts {
  readonly layout: Layout;
  readonly host: Host;
  readonly cgroups: CgroupHost;
  readonly cgroup: Cgroup;
  /** Made by our program, by criu in Start, or by somebody else. */
  readonly init: MonitoredProcess | Restoration | AdoptedProcess;
  readonly compiler: Compiler;
  readonly mounted: MountedContainer;
  /** Where criu is looked for, and what it gets as PATH; and where it is. */
  readonly searchPath: string;
  readonly criu: () => string | undefined;
}

/** One container: its init, its cgroup, and programs that join it. */
export class RuncContainer implements Container {
  readonly init: MonitoredProcess | RestoredProcess | AdoptedProcess;
  readonly endsWithInit: boolean;
  readonly #parts: ContainerParts;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.init = parts.init instanceof Restoration ? parts.init.init : parts.init;
    const pid = this.#spec.linux.namespaces.get("pid");
    this.endsWithInit = pid !== undefined && pid.path === undefined;
  }

  async start(): Promise<void> {
    const { init } = this.#parts;
    if (init instanceof AdoptedProcess) return; // it runs
    if (init instanceof Restoration) await init.start((pid) => this.#beforeItRuns(pid));
    else await init.start();
    const { poststart } = this.#spec.hooks;
    if (poststart.length === 0) return;
    try {
      await runHooks(poststart, this.#state("running", this.init.pid), this.#bundle);
    } catch (error) {
      await this.kill(this.init, SIGKILL); // the container's end, as the specification has it since 1.3
      throw error;
    }
  }

  /** The hooks that want to see the namespaces: they make the interfaces, which no checkpoint holds. */
  async #beforeItRuns(pid: number): Promise<void> {
    checkNamespaces(this.#spec, pid);
    const { prestart, createRuntime } = this.#spec.hooks;
    await runHooks([...prestart, ...createRuntime], this.#state("creating", pid), this.#bundle);
  }

  /** Another program with `setns` at its head: exec makes no new namespaces. */
  async exec(request: ExecRequest): Promise<MonitoredProcess> {
    const { layout, host, cgroup, compiler } = this.#parts;
    const key = execKey(layout.request.id, request.id);
    const owner = { uid: layout.options.ioUid, gid: layout.options.ioGid };
    const stdio = await host.openStdio(key, request.stdio, { ...layout.request, owner });
    const process = { ...parseExecProcess(request.spec), terminal: request.stdio.terminal };
    const plan = { layout, cgroup, stdio: stdio.plan, process, initPid: this.init.pid };
    const program = inSpan("compile", () => compileJoin(compiler, plan));
    return await inSpan("launch", async () => {
      const takesTimes = stepSpans(program);
      const launched = host.launch(key, {
        program: program.bytes,
        stdio,
        describe: (step, errno) => launchFailed(describeFailure(program, step, errno)),
        onSync: (sync, asker) =>
          takesTimes(sync)
            ? 0n
            : answerSync(sync, asker, { id: layout.request.id, bundle: layout.request.bundle, spec: this.#spec }),
      });
      await launched.execed();
      return launched;
    });
  }

  async kill(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void> {
    if (process instanceof RestoredProcess && process.pid === 0) return await this.#parts.cgroup.kill(); // criu, at its gate
    const target = process instanceof RestoredProcess ? process.target : process;
    await this.#parts.host.signal(target, signal, once);
    // v1's freezer holds a killed process until it is thawed; the task counts as paused until its exit.
    if (signal === SIGKILL && this.#parts.cgroup.isFrozen()) this.#parts.cgroup.thaw();
  }

  async killAll(signal: number): Promise<void> {
    const { cgroup } = this.#parts;
    if (signal === SIGKILL) await cgroup.kill();
    else cgroup.signal(signal);
  }

  async pause(): Promise<void> {
    await this.#parts.cgroup.freeze();
  }

  async resume(): Promise<void> {
    this.#parts.cgroup.thaw();
  }

  async update(resources: unknown): Promise<void> {
    const { cgroups, cgroup } = this.#parts;
    const parsed = parseResources(resources);
    if (parsed === undefined) return;
    if (cgroup.plan.scope === undefined) cgroup.update(parsed);
    else await updateScope(cgroups, cgroup, parsed);
  }

  async checkpoint(request: CheckpointRequest): Promise<void> {
    const { layout, host, cgroup, mounted, searchPath } = this.#parts;
    const criu = this.#parts.criu();
    if (criu === undefined)
      throw new StatusError(
        Code.Unimplemented,
        `checkpoint: criu is not installed (PATH: ${searchPath}): not implemented`,
      );
    await takeCheckpoint({ layout, host, cgroup, mounted, searchPath, criu, init: this.init }, request);
  }

  pids(): readonly number[] {
    return this.#parts.cgroup.processes();
  }

  stats(): CgroupStats {
    return this.#parts.cgroup.stats();
  }

  oomKills(): number {
    const { cgroup, init } = this.#parts;
    const inForce = cgroup.oomKills();
    if (inForce > 0 || cgroup.plan.scope === undefined || !(init instanceof MonitoredProcess)) return inForce;
    // systemd removes the cgroup of a scope that is empty, and may be faster than the count is looked at, by us and by the monitor
    const atEnd = parseOomKills(init.last);
    return atEnd === 0 && init.lastIsLost ? cgroup.loggedOomKills(Number(init.startTime) / CLOCK_TICKS) : atEnd;
  }

  /** Everything left in the cgroup dies, also what init left behind in a shared pid namespace. */
  async remove(): Promise<void> {
    const { cgroup, init } = this.#parts;
    if (cgroup.processes().length > 0) await cgroup.kill();
    const { layout, host } = this.#parts;
    await leaveScope(layout, host);
    await cgroup.remove();
    removeResctrl(layout.resctrl?.directories ?? []);
    if (init instanceof Restoration) init.forget();
    await this.#afterStop();
  }

  /** A failure is only told: everything else is undone already. Source: runtime-spec, "Lifecycle", 12. */
  async #afterStop(): Promise<void> {
    const { poststop } = this.#spec.hooks;
    for (const hook of poststop) {
      try {
        await runHooks([hook], this.#state("stopped", undefined), this.#bundle);
      } catch (error) {
        this.#parts.host.log.warning("poststop hook failed", {
          id: this.#parts.layout.request.id,
          error: String(error),
        });
      }
    }
  }

  #state(status: HookStatus, pid: number | undefined): string {
    const { request, spec } = this.#parts.layout;
    return hookState({ id: request.id, bundle: request.bundle, spec }, status, pid);
  }

  get #bundle(): string {
    return this.#parts.layout.request.bundle;
  }

  get #spec(): Spec {
    return this.#parts.layout.spec;
  }
}
