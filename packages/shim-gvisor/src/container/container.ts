import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { type CgroupStats, parseResources } from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  type CheckpointRequest,
  type Container,
  type ContainerProcess,
  type ExecRequest,
  execKey,
  type MonitoredProcess,
  type RequestKey,
  SLOT,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { RunscCommand } from "../runsc/runsc.ts";
import { commandKey, deleteState, forgetState, startCommand, startMemberCommand, waitCommand } from "./commands.ts";
import { CREATE_LIMIT_MS } from "./create.ts";
import { ExecProcess, removeExecFiles, watchStart } from "./exec-process.ts";
import { FirstProcess, MemberProcess } from "./init-process.ts";
import type { Making } from "./making.ts";
import { hideNetworkMark } from "./network.ts";
import { parseEventStats } from "./stats.ts";

const SIGKILL = 9;
/** A sandbox that is asked to end its processes does so in this time, or is killed. */
const KILL_LIMIT_MS = 3000;
/** All of its memory is written. */
const CHECKPOINT_LIMIT_MS = 120_000;

/** What a container is made of. */
export interface ContainerParts extends Making {
  /** Undefined before a restore. */
  readonly sandbox: MonitoredProcess | undefined;
  readonly init: FirstProcess | MemberProcess;
  /** Of a member without a terminal: its `runsc start` waits at the gate, with the container's stdio. */
  readonly gated: MonitoredProcess | undefined;
  /** Of a container that Start is to restore: the command, and how its sandbox is adopted. */
  readonly restore?: { readonly command: RunscCommand; readonly adopt: () => Promise<MonitoredProcess> };
  /** Whether this runsc leaves a container running after a checkpoint. */
  readonly leavesRunning: () => Promise<boolean>;
  /** Forget the sandbox's process. */
  readonly release: () => void;
}

/** One container of runsc: each verb is a command that the pod's monitor runs. */
export class GvisorContainer implements Container {
  readonly init: ContainerProcess;
  /** A sandbox's processes end with its init; so do a member's. */
  readonly endsWithInit = true;
  readonly #parts: ContainerParts;
  readonly #execs = new Set<ExecProcess>();
  /** Execs that are on their way: they have files, and may have no process yet. */
  readonly #starting = new Set<string>();
  #sandbox: MonitoredProcess | undefined;
  #isStarted = false;
  #isPaused = false;
  #commands = 0;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.init = parts.init;
    this.#sandbox = parts.sandbox;
    if (parts.host.has(this.#key("wait"))) this.#waitForMember(); // found again
    const { host, restore, sandbox } = parts;
    this.#isStarted = restore ? sandbox !== undefined : ["start", "wait"].some((name) => host.has(this.#key(name)));
  }

  get #id(): string {
    return this.#parts.layout.request.id;
  }

  get #runscId(): string {
    return this.#parts.layout.runscId;
  }

  async start(): Promise<void> {
    const { runsc, gated, layout, restore, init, cgroup } = this.#parts;
    if (restore && gated && init instanceof FirstProcess) {
      gated.openGate();
      await runsc.finish(restore.command, gated, CREATE_LIMIT_MS);
      this.#sandbox = await restore.adopt();
      init.attach(this.#sandbox);
      this.#isStarted = true;
      return;
    }
    const isMember = layout.membership.kind === "member";
    const command = isMember ? startMemberCommand(this.#parts) : this.#startFirst();
    gated?.openGate();
    try {
      await runsc.finish(command, gated ?? runsc.launch(command));
    } catch (error) {
      if (isMember) await cgroup.kill(); // runsc leaves the gofer of a member
      throw error;
    }
    this.#isStarted = true;
    if (isMember) this.#waitForMember();
  }

  #startFirst(): RunscCommand {
    const { layout } = this.#parts;
    const setup = hideNetworkMark(layout, this.init.pid);
    return { ...startCommand(layout), ...(setup && { setup }) };
  }

  #waitForMember(): void {
    const { runsc, init } = this.#parts;
    if (!(init instanceof MemberProcess)) return;
    const command = waitCommand(this.#parts.layout);
    init.waitFor(runsc.launch(command), () => parseWait(runsc.output(command.name)));
  }

  async exec(request: ExecRequest): Promise<ContainerProcess> {
    this.#starting.add(request.id);
    try {
      return await inSpan("runsc exec", () => this.#exec(request));
    } finally {
      this.#starting.delete(request.id);
    }
  }

  async #exec(request: ExecRequest): Promise<ContainerProcess> {
    const { layout, host, runsc } = this.#parts;
    const key = execKey(this.#id, request.id);
    const base = `exec-${request.id}`;
    const file = (kind: string): string => `${layout.work}/${base}.${kind}`;
    const files = { spec: file("json"), pid: file("pid"), started: file("started") };
    if (!host.has(key)) {
      const isLive = (id: string): boolean => this.#starting.has(id) || host.has(execKey(this.#id, id));
      removeExecFiles(layout.work, (id) => id !== request.id && isLive(id)); // an earlier one's of this id, too
      mkdirSync(layout.work, { recursive: true, mode: 0o700 });
      writeFileSync(files.spec, withTerminal(request), { mode: 0o600 });
    }
    const owner = { uid: layout.config.ioUid, gid: layout.config.ioGid };
    const stdio = await host.openStdio(key, request.stdio, { ...layout.request, owner });
    const command: RunscCommand = {
      key,
      name: base,
      args: [
        "exec",
        `--process=${files.spec}`,
        `--internal-pid-file=${files.pid}`,
        `--pid-file=${files.started}`,
        this.#runscId,
      ],
      stdio,
      prelude: (builder) => watchStart(builder, files.started),
      watches: [SLOT.watch],
      onWatch: (slot) => void (slot === SLOT.watch && exec.look()),
    };
    const process = runsc.launch(command);
    const exec = new ExecProcess(process, files.pid);
    this.#execs.add(exec);
    void exec.exited().then(() => this.#execs.delete(exec));
    await process.execed();
    if (await exec.started()) {
      rmSync(files.spec, { force: true });
      return exec;
    }
    await runsc.finish(command, process); // it has ended: throws runsc's reason
    throw new StatusError(Code.Unknown, "runsc exec: ended before its process began");
  }

  async kill(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void> {
    if (process.hasExited) throw finished();
    const name = once ? `kill-${once.conn}-${once.stream}` : this.#next("kill");
    if (process instanceof ExecProcess) await this.#signal(name, signal, ["--pid", String(process.innerPid)], process);
    else await this.#signalInit(name, signal, []);
  }

  async killAll(signal: number): Promise<void> {
    if (this.init.hasExited) return;
    await this.#signalInit(this.#next("kill"), signal, ["--all"]);
  }

  /** runsc signals what runs; before that, and while it stands still or does not answer, the sandbox itself is killed. */
  async #signalInit(name: string, signal: number, flags: readonly string[]): Promise<void> {
    const { host, init, cgroup } = this.#parts;
    const sandbox = this.#sandbox;
    const isMember = init instanceof MemberProcess;
    if (!sandbox || (isMember && !this.#isStarted)) {
      if (!sandbox) await cgroup.kill(); // its `runsc restore`
      init.end(host.nowNs());
      return;
    }
    if (!this.#isStarted || (this.#isPaused && signal === SIGKILL)) {
      await host.signal(sandbox, SIGKILL);
      return;
    }
    try {
      await this.#signal(name, signal, flags, this.init);
    } catch (error) {
      if (signal !== SIGKILL || isMember || this.init.hasExited) throw error;
      host.log.warning("runsc kill failed, the sandbox is killed", { id: this.#id, error });
      await host.signal(sandbox, SIGKILL);
    }
  }

  async #signal(name: string, signal: number, flags: readonly string[], target: ContainerProcess): Promise<void> {
    const command = this.#command(name, ["kill", ...flags, this.#runscId, String(signal)]);
    try {
      await this.#parts.runsc.run(command, KILL_LIMIT_MS);
    } catch (error) {
      if (target.hasExited || this.init.hasExited) throw finished();
      throw error;
    }
  }

  async pause(): Promise<void> {
    this.#assertAlone("pause");
    await this.#verb("pause", "paused");
    this.#isPaused = true;
  }

  async resume(): Promise<void> {
    if (this.init.hasExited) return;
    await this.#verb("resume", "running");
    this.#isPaused = false;
  }

  /** A verb that may have been carried out by an earlier task server: then the state is what was wanted. */
  async #verb(verb: string, wanted: string): Promise<void> {
    const { runsc } = this.#parts;
    try {
      await runsc.run(this.#command(this.#next(verb), [verb, this.#runscId]));
    } catch (error) {
      const state = await runsc.run(this.#command(this.#next("state"), ["state", this.#runscId])).catch(() => "");
      if (parseState(state) !== wanted) throw error;
    }
  }

  async checkpoint({ directory, exit, key }: CheckpointRequest): Promise<void> {
    this.#assertAlone("checkpoint");
    if (!exit && !(await this.#parts.leavesRunning()))
      throw new StatusError(
        Code.FailedPrecondition,
        "checkpoint: this runsc can't leave the container running; ask for its exit, or use a newer runsc",
      );
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const leave = exit ? [] : ["--leave-running"];
    const args = ["checkpoint", `--image-path=${directory}`, ...leave, this.#runscId];
    await this.#parts.runsc.run(this.#command(`checkpoint-${key.conn}-${key.stream}`, args), CHECKPOINT_LIMIT_MS);
  }

  #assertAlone(verb: string): void {
    if (this.#parts.layout.membership.kind === "alone") return;
    throw new StatusError(
      Code.FailedPrecondition,
      `${verb}: runsc can only ${verb} a whole sandbox, and this container shares its pod's`,
    );
  }

  async update(resources: unknown): Promise<void> {
    const parsed = parseResources(resources);
    if (parsed) this.#parts.cgroup.update({ ...parsed, devices: undefined });
  }

  /** What the host can see: the sandbox, and a `runsc exec` for each exec. Inside it has a process table of its own. */
  pids(): readonly number[] {
    if (this.init.hasExited) return [];
    return [this.init.pid, ...[...this.#execs].map(({ pid }) => pid)];
  }

  /** A sandbox's own cgroup tells all; in a pod only the sandbox knows whose is what. */
  async stats(): Promise<CgroupStats> {
    const { layout, cgroup, runsc } = this.#parts;
    if (layout.membership.kind === "alone" || this.init.hasExited) return cgroup.stats();
    const args = ["events", "--stats", this.#runscId];
    return parseEventStats(await runsc.run(this.#command(this.#next("events"), args)), cgroup.stats());
  }

  oomKills(): number {
    return this.#parts.cgroup.oomKills();
  }

  async remove(): Promise<void> {
    const { host, cgroup, release } = this.#parts;
    await (this.init.hasExited ? forgetState(this.#parts) : deleteState(this.#parts));
    if (cgroup.processes().length > 0) await cgroup.kill();
    await cgroup.remove();
    for (const key of host.keys(commandKey(this.#id, ""))) host.forget(key);
    release();
  }

  #command(name: string, args: readonly string[]): RunscCommand {
    return { key: this.#key(name), name, args };
  }

  #key(name: string): string {
    return commandKey(this.#id, name);
  }

  /** A name that no earlier command has had, under no earlier task server either. */
  #next(verb: string): string {
    return `${verb}-${process.pid}-${performance.timeOrigin.toString(36)}-${this.#commands++}`;
  }
}

function finished(): StatusError {
  return new StatusError(Code.NotFound, "process already finished: not found");
}

/** The OCI process, with the terminal that Exec asks for. Throws InvalidArgument where it is no JSON. */
function withTerminal({ spec, stdio }: ExecRequest): string {
  try {
    const process: unknown = JSON.parse(Buffer.from(spec).toString());
    if (typeof process === "object" && process !== null && !Array.isArray(process))
      return JSON.stringify({ ...process, terminal: stdio.terminal });
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, "process: not JSON", { cause: error });
  }
  throw new StatusError(Code.InvalidArgument, "process: not an object");
}

/** `{"id":…,"exitStatus":N}`, N being 0 to 255. */
function parseWait(text: string): number | undefined {
  const status = field(text, "exitStatus");
  return typeof status === "number" ? status & 0xff : undefined;
}

function parseState(text: string): string | undefined {
  const status = field(text, "status");
  return typeof status === "string" ? status : undefined;
}

function field(text: string, name: string): unknown {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === "object" && parsed !== null ? Reflect.get(parsed, name) : undefined;
  } catch {
    return undefined;
  }
}
