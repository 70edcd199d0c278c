import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { describeFailure, parseSpec, type Spec } from "@trimaran/linux";
import { ANY, type google, inSpan, packAny } from "@trimaran/proto";
import {
  type Container,
  type ContainerProcess,
  type CreateRequest,
  type ExecRequest,
  execKey,
  type Host,
  type MonitoredProcess,
  type RequestKey,
  type StdioUris,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { AgentConnection } from "../agent/connection.ts";
import { DirectProcess } from "../exec/direct-process.ts";
import { compileGuestExec, isDirect, isForAgent, toldSlots } from "../exec/program.ts";
import { within } from "../exec/within.ts";
import { type DirectInit, firstGuestSpec } from "../init/direct-init.ts";
import type { Sandbox } from "../pod/sandbox.ts";
import { toGuestProcess, toGuestResources, toGuestSpec } from "../storage/guest-spec.ts";
import { planVolumes } from "../storage/volumes.ts";
import type { BundleConfig } from "./bundle-config.ts";
import { GuestProcess } from "./guest-process.ts";
import { findHolder, openHolder } from "./holder.ts";
import { AgentProcess, type RemoteProcess } from "./remote-process.ts";
import { checkStats } from "./stats.ts";

const SIGKILL = 9;
/** An agent that does not carry out a SIGKILL in this time is stuck, and its machine is killed. */
const KILL_LIMIT_MS = 15_000;
/** Delete must end: what a stuck agent keeps dies with its machine. */
const REMOVE_LIMIT_MS = 5000;
/** An exec's program is at its execve in this time, or the guest is stuck: an emulated one, on a busy host, needs seconds. */
const EXEC_LIMIT_MS = 60_000;
/** Between two OOM kills that are told: a guest can tell of one after the other, and each is an event for all who listen. */
const OOM_PAUSE_MS = 100;
const TASK_RUNNING = 2;
const TASK_PAUSED = 4;

/** What a container is made of. */
export interface ContainerParts {
  readonly request: CreateRequest;
  readonly config: BundleConfig;
  readonly host: Host;
  readonly sandbox: Sandbox;
  /** The entry with init's stdio. */
  readonly holder: MonitoredProcess;
  /** The machine goes with it. */
  readonly ownsGuest: boolean;
  /** Pid of its init in the guest; not known after a restart of the task server. */
  readonly initPid?: number;
  /** Its init, where the guest's monitor has made it: then the agent does not know the container until it is told. */
  readonly direct?: DirectInit;
  /** End the machine. */
  readonly removeGuest: () => Promise<void>;
}

/** What an exec's program is compiled from. */
interface Inside {
  readonly spec: Spec;
  readonly initPid: number;
}

/** One container in a guest: each verb is a call of its agent. */
export class KataContainer implements Container {
  readonly init: GuestProcess;
  /** The guest's engine kills what init leaves. */
  readonly endsWithInit = true;
  readonly #parts: ContainerParts;
  readonly #execs = new Map<string, GuestProcess>();
  #oomKills = 0;
  #inside: Promise<Inside> | undefined;
  #tellOom: () => void = () => undefined;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    const remote = parts.direct?.remote ?? new AgentProcess(parts.sandbox.agent, parts.request.id, "");
    this.init = this.#process("", parts.request.stdio, parts.holder, remote);
  }

  /** The guest has it. `fresh`: just made, so that nothing can have been read or written yet. */
  async attach(fresh: boolean): Promise<void> {
    await this.init.attach(fresh);
    void (this.#parts.direct ? this.#watchDirectly(this.#parts.direct) : this.#watchOom());
  }

  async start(): Promise<void> {
    const { direct } = this.#parts;
    await inSpan("start in the guest", async () => {
      if (direct) await direct.start();
      else await this.#call(({ agent }, options) => agent.startProcess({ id: this.#id }, options));
    });
  }

  async exec(request: ExecRequest): Promise<ContainerProcess> {
    const { host } = this.#parts;
    const { id: execId, stdio } = request;
    const key = execKey(this.#id, execId);
    const fresh = !host.has(key);
    const process = withoutLabels(request.spec, stdio);
    if (fresh) await this.#forgetExecs();
    const holder = fresh ? await openHolder(host, key, stdio, this.#parts.request) : findHolder(host, key);
    try {
      const remote = await inSpan(
        "exec in the guest",
        async () =>
          (await this.#runDirectly(request, process, fresh)) ?? (await this.#runByAgent(request, process, fresh)),
      );
      const exec = this.#process(execId, stdio, holder, remote);
      this.#execs.set(execId, exec);
      await exec.attach(fresh);
      return exec;
    } catch (error) {
      await this.#forgetExec(execId);
      host.forget(key);
      throw error;
    }
  }

  async #runByAgent({ id: execId, stdio }: ExecRequest, process: Uint8Array, fresh: boolean): Promise<RemoteProcess> {
    const name = { id: this.#id, execId };
    const wanted = { ...name, process, ...wantedStreams(stdio), fresh, start: true, once: randomUUID() };
    await this.#call(({ agent }, options) => agent.addExec(wanted, options));
    return new AgentProcess(this.#parts.sandbox.agent, this.#id, execId);
  }

  /** Have the guest's monitor run it, past the agent. Undefined where the agent must. Throws what is wrong with it. */
  async #runDirectly(
    { id: execId, stdio }: ExecRequest,
    process: Uint8Array,
    fresh: boolean,
  ): Promise<RemoteProcess | undefined> {
    const { execs } = this.#parts.sandbox;
    if (!execs || !isDirect(stdio)) return undefined;
    const key = execKey(this.#id, execId);
    const program = compileGuestExec({ id: this.#id, process, stdio, ...(await this.#lookInside()) });
    if (fresh) execs.forget(key); // an earlier one of that name, which an earlier task server has not forgotten
    const told = toldSlots(stdio);
    const entry = execs.launch(key, program.bytes, told);
    const begun = entry.reported(({ execed, failure, exit }) => execed || failure !== undefined || exit !== undefined);
    const { execed, failure } = await within(EXEC_LIMIT_MS, begun, () => this.#parts.sandbox.agent.watch());
    if (failure && isForAgent(failure)) return undefined;
    if (failure) throw new StatusError(Code.Unknown, describeFailure(program, failure.step, failure.errno));
    if (!execed) throw new StatusError(Code.Unknown, "the exec has ended before its program began");
    return new DirectProcess({ entry, told, oomKills: (signal) => this.#oomKillsBy(signal) });
  }

  /** Looked for when the first exec comes: it stays as it is. */
  #lookInside(): Promise<Inside> {
    this.#inside ??= this.#readInside().catch((error: unknown) => {
      this.#inside = undefined;
      throw error;
    });
    return this.#inside;
  }

  async #readInside(): Promise<Inside> {
    const { config, initPid, direct } = this.#parts;
    const places = { id: this.#id, volumes: planVolumes(config.spec.mounts), disks: [] }; // an exec makes no mounts
    const json = direct ? firstGuestSpec(this.#id, config) : toGuestSpec(config.json, places);
    const pid = direct ? await direct.pid() : (initPid ?? (await this.#inspect()).pid);
    return { spec: parseSpec(JSON.stringify(json)), initPid: pid };
  }

  /** Of the container, after the end of an exec that the agent does not know. */
  async #oomKillsBy(signal: number): Promise<number> {
    return signal === SIGKILL ? (await this.#inspect()).oomKills : 0;
  }

  #inspect() {
    return this.#call(({ agent }, options) => agent.inspectProcess({ id: this.#id, execId: "" }, options));
  }

  async kill(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void> {
    if (process.hasExited) throw finished();
    const [execId, direct] = process instanceof GuestProcess ? [process.execId, process.signal] : [""];
    if (direct) return await this.#orKill(signal, direct(signal, once));
    await this.#signal({ execId, signal, all: false, once: once ? `${once.conn}:${once.stream}` : "" });
  }

  async killAll(signal: number): Promise<void> {
    if (this.init.hasExited) return;
    if (signal === SIGKILL && this.#parts.direct) return await this.kill(this.init, signal); // it has a pid namespace of its own
    await this.#signal({ execId: "", signal, all: true, once: "" });
  }

  async pause(): Promise<void> {
    await this.#verb("pause", TASK_PAUSED);
  }

  async resume(): Promise<void> {
    if (!this.init.hasExited) await this.#verb("resume", TASK_RUNNING);
  }

  async update(resources: unknown): Promise<void> {
    const value = Buffer.from(JSON.stringify(toGuestResources(resources)));
    const any = packAny(ANY.ociLinuxResources, value);
    await this.#call(({ tasks }, options) => tasks.update({ id: this.#id, resources: any }, options));
  }

  /** What the host can see of it: the machine. */
  pids(): readonly number[] {
    return this.init.hasExited ? [] : [this.init.pid];
  }

  async stats(): Promise<google.protobuf.Any> {
    const { stats } = await this.#call(({ tasks }, options) => tasks.stats({ id: this.#id }, options));
    return checkStats(stats);
  }

  oomKills(): number {
    return this.#oomKills;
  }

  watchOom(tell: () => void): void {
    this.#tellOom = tell;
  }

  async remove(): Promise<void> {
    const { request, config, sandbox, ownsGuest, removeGuest } = this.#parts;
    if (!sandbox.guest.vmm.hasExited) await (ownsGuest && sandbox.guest.isMachine ? this.#flush() : this.#delete(""));
    if (!ownsGuest) {
      await sandbox.guest.unshare({ request, spec: config.spec }, sandbox.agent);
    } else await removeGuest();
  }

  get #id(): string {
    return this.#parts.request.id;
  }

  /** Call the agent, which knows the container by then. */
  get #call(): AgentConnection["call"] {
    const { direct, sandbox } = this.#parts;
    return async (make, options) => {
      const limitMs = options?.limitMs ?? 0;
      if (direct) await (limitMs > 0 ? within(limitMs, direct.adopt()) : direct.adopt());
      return await sandbox.agent.call(make, options);
    };
  }

  #process(execId: string, stdio: StdioUris, holder: MonitoredProcess, remote: RemoteProcess): GuestProcess {
    const { host, sandbox } = this.#parts;
    const onOomKills = (kills: number): void => {
      this.#oomKills = Math.max(this.#oomKills, kills);
    };
    const { agent, guest } = sandbox;
    const { pid } = guest.vmm;
    return new GuestProcess({ host, agent, id: this.#id, execId, stdio, holder, remote, pid, onOomKills });
  }

  /** It is gone, or dies with its machine: as wanted. */
  async #delete(execId: string): Promise<void> {
    await this.#call(({ agent }, options) => agent.deleteProcess({ id: this.#id, execId }, options), {
      limitMs: REMOVE_LIMIT_MS,
    }).catch((error: unknown) => this.#parts.host.log.debug("not deleted in the guest", { id: this.#id, error }));
  }

  /** The machine is ended next. */
  async #flush(): Promise<void> {
    const { direct, sandbox, host } = this.#parts;
    const flushed = direct
      ? direct.flush(REMOVE_LIMIT_MS)
      : sandbox.agent.call(({ agent }, options) => agent.flush({}, options), { limitMs: REMOVE_LIMIT_MS });
    await flushed.catch((error: unknown) => host.log.debug("not flushed in the guest", { id: this.#id, error }));
  }

  /** Those that were deleted here; what the guest keeps of them is of no use. */
  async #forgetExecs(): Promise<void> {
    const gone = [...this.#execs.keys()].filter((execId) => !this.#parts.host.has(execKey(this.#id, execId)));
    await Promise.all(gone.map((execId) => this.#forgetExec(execId)));
  }

  async #forgetExec(execId: string): Promise<void> {
    const { execs } = this.#parts.sandbox;
    const key = execKey(this.#id, execId);
    const isDirectOne = execs?.has(key) === true;
    if (isDirectOne) execs.forget(key);
    if (!isDirectOne || this.#execs.get(execId)?.signal === undefined) await this.#delete(execId);
    this.#execs.delete(execId);
  }

  async #signal(request: { execId: string; signal: number; all: boolean; once: string }): Promise<void> {
    const limit = request.signal === SIGKILL ? { limitMs: KILL_LIMIT_MS } : {};
    await this.#orKill(
      request.signal,
      this.#call(({ agent }, options) => agent.signalProcess({ id: this.#id, ...request }, options), limit),
    );
  }

  /** A guest that does not carry out a SIGKILL is killed. */
  async #orKill(signal: number, sent: Promise<unknown>): Promise<void> {
    try {
      await sent;
    } catch (error) {
      if (signal !== SIGKILL || !(error instanceof StatusError) || error.code !== Code.Unavailable) throw error;
      const { host, sandbox } = this.#parts;
      host.log.warning("the guest does not kill, so it is killed", { id: this.#id, error });
      await sandbox.guest.kill();
    }
  }

  /** A verb that may have been carried out already: then the state is what was wanted. */
  async #verb(verb: "pause" | "resume", wanted: number): Promise<void> {
    const id = this.#id;
    try {
      await this.#call(({ tasks }, options) => tasks[verb]({ id }, options));
    } catch (error) {
      const state = await this.#call(({ tasks }, options) => tasks.state({ id }, options)).catch(() => undefined);
      if (state?.status !== wanted) throw error;
    }
  }

  /** Memory has other news besides kills: these are counted by the agent. */
  async #watchDirectly(direct: DirectInit): Promise<void> {
    await direct.watchMemory(async () => {
      const state = await this.#inspect().catch(() => undefined); // its guest has ended
      if (!state || state.oomKills <= this.#oomKills) return;
      this.#oomKills = state.oomKills;
      this.#tellOom();
    });
  }

  async #watchOom(): Promise<void> {
    const request = () => ({ id: this.#id, known: this.#oomKills });
    while (!this.init.hasExited) {
      const news = await this.#call(({ agent }) => agent.waitOom(request()), { limitMs: 0 }).catch(() => undefined);
      if (!news) return; // it is deleted, or its guest has ended
      if (news.kills <= this.#oomKills) return void this.#parts.sandbox.agent.lie("tells of an OOM kill that was none");
      this.#oomKills = news.kills;
      this.#tellOom();
      await delay(OOM_PAUSE_MS);
    }
  }
}

/** What the agent is asked for: a process whose output goes nowhere gets no stream. */
export function wantedStreams({ stdin, stdout, stderr, terminal }: StdioUris) {
  return { stdin: stdin !== "", stdout: stdout !== "", stderr: stderr !== "", terminal };
}

function finished(): StatusError {
  return new StatusError(Code.NotFound, "process already finished: not found");
}

/** Throws InvalidArgument where it is no JSON object. */
function withoutLabels(spec: Uint8Array, stdio: StdioUris): Uint8Array {
  let process: unknown;
  try {
    process = JSON.parse(Buffer.from(spec).toString());
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, "process: not JSON", { cause: error });
  }
  if (typeof process !== "object" || process === null || Array.isArray(process))
    throw new StatusError(Code.InvalidArgument, "process: not an object");
  return Buffer.from(JSON.stringify({ ...toGuestProcess(process), terminal: stdio.terminal }));
}
