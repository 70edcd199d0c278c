import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { ANY, type google, packAny } from "@trimaran/proto";
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
import type { Sandbox } from "../pod/sandbox.ts";
import { toGuestProcess, toGuestResources } from "../storage/guest-spec.ts";
import type { BundleConfig } from "./bundle-config.ts";
import { GuestProcess } from "./guest-process.ts";
import { findHolder, openHolder } from "./holder.ts";
import { checkStats } from "./stats.ts";

const SIGKILL = 9;
/** An agent that does not carry out a SIGKILL in this time is stuck, and its machine is killed. */
const KILL_LIMIT_MS = 15_000;
/** Delete must end: what a stuck agent keeps dies with its machine. */
const REMOVE_LIMIT_MS = 5000;
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
  /** End the machine. */
  readonly removeGuest: () => Promise<void>;
}

/** One container in a guest: each verb is a call of its agent. */
export class KataContainer implements Container {
  readonly init: GuestProcess;
  /** The guest's engine kills what init leaves. */
  readonly endsWithInit = true;
  readonly #parts: ContainerParts;
  readonly #execs = new Map<string, GuestProcess>();
  #oomKills = 0;
  #tellOom: () => void = () => undefined;

  constructor(parts: ContainerParts) {
    this.#parts = parts;
    this.init = this.#process("", parts.request.stdio, parts.holder);
  }

  /** The agent knows it. `fresh`: just made, so that nothing can have been read or written yet. */
  async attach(fresh: boolean): Promise<void> {
    await this.init.attach(fresh);
    void this.#watchOom();
  }

  async start(): Promise<void> {
    await this.#call(({ agent }, options) => agent.startProcess({ id: this.#id }, options));
  }

  async exec(request: ExecRequest): Promise<ContainerProcess> {
    const { host } = this.#parts;
    const { id: execId, stdio } = request;
    const key = execKey(this.#id, execId);
    const fresh = !host.has(key);
    const process = withoutLabels(request.spec, stdio);
    if (fresh) await this.#forgetExecs();
    const holder = fresh ? await openHolder(host, key, stdio, this.#parts.request) : findHolder(host, key);
    const exec = this.#process(execId, stdio, holder);
    try {
      const streams = wantedStreams(stdio);
      const name = { id: this.#id, execId };
      const wanted = { ...name, process, ...streams, fresh, start: true, once: randomUUID() };
      this.#execs.set(execId, exec);
      await this.#call(({ agent }, options) => agent.addExec(wanted, options));
      await exec.attach(fresh);
      return exec;
    } catch (error) {
      await this.#delete(execId);
      this.#execs.delete(execId);
      host.forget(key);
      throw error;
    }
  }

  async kill(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void> {
    if (process.hasExited) throw finished();
    const execId = process instanceof GuestProcess ? process.execId : "";
    await this.#signal({ execId, signal, all: false, once: once ? `${once.conn}:${once.stream}` : "" });
  }

  async killAll(signal: number): Promise<void> {
    if (this.init.hasExited) return;
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

  get #call() {
    const { agent } = this.#parts.sandbox;
    return agent.call.bind(agent);
  }

  #process(execId: string, stdio: StdioUris, holder: MonitoredProcess): GuestProcess {
    const { host, sandbox } = this.#parts;
    const onOomKills = (kills: number): void => {
      this.#oomKills = Math.max(this.#oomKills, kills);
    };
    const { agent, guest } = sandbox;
    return new GuestProcess({ host, agent, id: this.#id, execId, stdio, holder, pid: guest.vmm.pid, onOomKills });
  }

  /** It is gone, or dies with its machine: as wanted. */
  async #delete(execId: string): Promise<void> {
    await this.#call(({ agent }, options) => agent.deleteProcess({ id: this.#id, execId }, options), {
      limitMs: REMOVE_LIMIT_MS,
    }).catch((error: unknown) => this.#parts.host.log.debug("not deleted in the guest", { id: this.#id, error }));
  }

  /** The machine is ended next. */
  async #flush(): Promise<void> {
    await this.#call(({ agent }, options) => agent.flush({}, options), { limitMs: REMOVE_LIMIT_MS }).catch(
      (error: unknown) => this.#parts.host.log.debug("not flushed in the guest", { id: this.#id, error }),
    );
  }

  /** Those that were deleted here; what the guest keeps of them is of no use. */
  async #forgetExecs(): Promise<void> {
    const gone = [...this.#execs.keys()].filter((execId) => !this.#parts.host.has(execKey(this.#id, execId)));
    for (const execId of gone) this.#execs.delete(execId);
    await Promise.all(gone.map((execId) => this.#delete(execId)));
  }

  async #signal(request: { execId: string; signal: number; all: boolean; once: string }): Promise<void> {
    const isKill = request.signal === SIGKILL;
    const limit = isKill ? { limitMs: KILL_LIMIT_MS } : {};
    try {
      await this.#call(({ agent }, options) => agent.signalProcess({ id: this.#id, ...request }, options), limit);
    } catch (error) {
      if (!isKill || !(error instanceof StatusError) || error.code !== Code.Unavailable) throw error;
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
