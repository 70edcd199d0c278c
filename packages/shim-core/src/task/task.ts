import { inSpan } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import type { TaskEvents } from "../events/task-events.ts";
import type { ContainerProcess } from "../host/container-process.ts";
import type { Host } from "../host/host.ts";
import { closeStdinProgram } from "../host/programs.ts";
import type { CheckpointRequest, Container, Runtime } from "../runtime.ts";
import { consumed } from "../stdio/consumed.ts";
import { toStatus } from "../to-status.ts";
import { Exec } from "./exec.ts";
import type { ExitRecord } from "./exit.ts";
import {
  illegal,
  outcomeOf,
  type ProcessState,
  paused,
  pausing,
  pidOf,
  resumed,
  started,
  stopped,
} from "./lifecycle.ts";
import { SerialQueue } from "./queue.ts";
import { type ExecRecord, type ExecRequest, encodeRecord, type SignalRequest, type TaskRecord } from "./record.ts";
import type { TaskContext } from "./task-context.ts";
import { Waiters } from "./waiters.ts";

const SIGKILL = 9;
/** How long Delete waits for output that somebody still holds open; after that end of file is forced. As containerd 1.6 has it. */
const DRAIN_LIMIT_MS = 2000;
/** When to look again for the kill that an OOM notice announces. */
const OOM_LOOKS_MS = [2, 10, 50, 250, 1000];
/** A killed process ends at once, and execs die with init; this only bounds the wait for one that the kernel can't end. */
const EXIT_LIMIT_MS = 5000;

/** One container and its processes: the state machine behind the task service. Verbs that change it are queued, one task apart from another. */
export class Task implements TaskContext {
  readonly events: TaskEvents;
  readonly waiters = new Waiters<ProcessState>();
  readonly execs = new Map<string, Exec>();
  readonly #runtime: Runtime;
  readonly #host: Host;
  readonly #queue = new SerialQueue();
  #record: TaskRecord;
  #container: Container | undefined;
  #creation: Promise<number> | undefined;
  #recovery: Promise<void> = Promise.resolve();
  /** Init's exit, known and not told yet: its client may still be reading. */
  #exit: ExitRecord | undefined;
  /** Kills that are not answered yet. A runtime's may take longer than the end of what it kills. */
  readonly #signals = new Set<Promise<void>>();
  /** Settles when the Start that is on its way has ended, well or not. */
  #starting: Promise<void> = Promise.resolve();

  constructor(runtime: Runtime, host: Host, events: TaskEvents, record: TaskRecord) {
    this.#runtime = runtime;
    this.#host = host;
    this.events = events;
    this.#record = record;
  }

  get id(): string {
    return this.#record.request.id;
  }

  get record(): TaskRecord {
    return this.#record;
  }

  /** As State reports it: stopped from the moment in which init's exit is known. */
  get state(): ProcessState {
    const { state } = this.#record;
    return this.#exit ? stopped(state, pidOf(state), this.#exit) : state;
  }

  /** What Wait answers, once the exit has been told. */
  get outcome(): ProcessState | undefined {
    return outcomeOf(this.#record.state);
  }

  get init(): ContainerProcess | undefined {
    return this.#container?.init;
  }

  note(key: string, encode: (() => Uint8Array) | undefined): void {
    this.#host.note(key, encode);
  }

  /** Create; called again for a replay of the same request it gives the same pid. Throws and leaves nothing. */
  create(): Promise<number> {
    this.#creation ??= this.#queue.run(async () => {
      if (this.state.state !== "creating") return pidOf(this.state); // a replay: only the answer was missing
      this.#save({});
      const container = await this.#runtime.create(this.#record.request, this.#host);
      const pid = container.init.pid;
      this.events.created(this.#record.request, pid); // before the state: a crash between them repeats the event, and loses none
      this.#save({ state: { state: "created", pid } });
      this.#attach(container);
      return pid;
    });
    return this.#creation;
  }

  /** Open the start gate. `by` names the request. */
  start(by: string): Promise<number> {
    return this.#queue.run(async () => {
      const { startedBy, startFailure } = this.#record;
      if (startFailure?.by === by) throw new StatusError(startFailure.code, startFailure.why);
      if (startedBy === by && this.state.state !== "created") return pidOf(this.state);
      started(this.state, 0);
      this.#save({ startedBy: by });
      await this.#finishStart(by);
      return pidOf(this.state);
    });
  }

  #finishStart(by: string): Promise<void> {
    const start = this.#openGate(by);
    this.#starting = start.catch(() => undefined);
    return start;
  }

  async #openGate(by: string): Promise<void> {
    try {
      await inSpan("gate to execve", () => this.#live().start());
    } catch (error) {
      const { code, message } = toStatus(error);
      this.#save({ startFailure: { by, code, why: message } });
      throw error;
    }
    const running = started(this.state, this.#live().init.pid); // of a restored one it is known only now
    this.events.started(this.id, pidOf(running));
    this.#save({ state: running });
  }

  addExec(request: ExecRequest, by: string): void {
    const known = this.execs.get(request.id);
    const present = known?.isDeleted === true ? undefined : known;
    if (present?.addedBy === by) return; // a replay
    if (present) throw new StatusError(Code.AlreadyExists, `id ${request.id}: already exists`);
    if (this.state.state !== "created") this.assertCanExec();
    const exec = new Exec(this, { request, state: { state: "added" }, addedBy: by });
    this.execs.set(request.id, exec);
    this.events.execAdded(this.id, request.id);
    exec.save({});
  }

  assertCanExec(): void {
    const ended = this.state.state === "stopped" || this.#container?.init.hasExited === true;
    if (this.state.state === "running" && !ended) return;
    if (ended) throw new StatusError(Code.FailedPrecondition, `container ${this.id} init process is not running`);
    throw new StatusError(Code.FailedPrecondition, `cannot exec in a ${this.state.state} state`);
  }

  launchExec(request: ExecRequest): Promise<ContainerProcess> {
    return this.#live().exec(request);
  }

  forgetExec(request: ExecRequest): void {
    this.#host.forget(execKey(this.id, request.id));
  }

  exec(id: string): Exec {
    const exec = this.execs.get(id);
    if (!exec || exec.isDeleted) throw noExec(id);
    return exec;
  }

  /** Take an exec off the books. Its note stays until the answer is on its way: `dropExecNote`. */
  async deleteExec(id: string, by: string): Promise<{ exec: Exec; state: ProcessState }> {
    const exec = this.execs.get(id);
    if (!exec) throw noExec(id);
    const state = await exec.delete(by);
    if (this.execs.get(id) === exec) this.execs.delete(id);
    return { exec, state };
  }

  /** Unless its id has been used again: then the note is the new one's. */
  dropExecNote(exec: Exec): void {
    if (!this.execs.has(exec.id)) this.note(exec.noteKey, undefined);
  }

  /** Forget the execs whose Delete was answered by an earlier task server. */
  dropDeletedExecs(): void {
    for (const exec of [...this.execs.values()].filter((one) => one.isDeleted)) {
      this.execs.delete(exec.id);
      this.dropExecNote(exec);
    }
  }

  /** Signal one process, or every process of the container. */
  kill(target: SignalRequest): Promise<void> {
    const signal = this.#signal(target);
    const settled = signal.catch(() => undefined).then(() => void this.#signals.delete(settled));
    this.#signals.add(settled);
    return signal;
  }

  async #signal(target: SignalRequest): Promise<void> {
    const exec = target.execId === "" ? undefined : this.exec(target.execId);
    const { state } = exec ?? this;
    if (state.state === "added" || state.state === "failed" || state.state === "creating")
      throw new StatusError(Code.FailedPrecondition, "process not created: failed precondition");
    if (state.state === "stopped" && !target.replayed) {
      if (target.all && !exec) return await this.#live().killAll(target.signal);
      throw new StatusError(Code.NotFound, "process already finished: not found");
    }
    const container = this.#live();
    if (target.all && !exec) return await container.killAll(target.signal);
    const process = exec ? exec.process : container.init;
    if (!process) throw new StatusError(Code.FailedPrecondition, "process not created: failed precondition");
    if (target.signal === SIGKILL) exec?.expectKill();
    if (container.kill) return await container.kill(process, target.signal, target.key);
    await this.#host.signal(process, target.signal, target.key);
  }

  pause(replayed: boolean): Promise<void> {
    return this.#queue.run(async () => {
      const container = this.#live();
      if (!container.pause) throw unimplemented("pause");
      if (replayed && this.state.state === "paused") return;
      this.#save({ state: replayed && this.state.state === "pausing" ? this.state : pausing(this.state) });
      try {
        await container.pause();
      } catch (error) {
        if (this.state.state === "pausing") this.#save({ state: resumed(this.state) });
        throw error;
      }
      if (this.state.state !== "pausing") throw illegal("pause", this.state);
      this.events.paused(this.id);
      this.#save({ state: paused(this.state) });
    });
  }

  resume(replayed: boolean): Promise<void> {
    return this.#queue.run(async () => {
      const container = this.#live();
      if (!container.resume) throw unimplemented("resume");
      if (replayed && this.state.state === "running") return;
      resumed(this.state);
      await container.resume();
      if (this.state.state === "stopped") return; // it ended meanwhile
      this.events.resumed(this.id);
      this.#save({ state: resumed(this.state) });
    });
  }

  update(resources: unknown): Promise<void> {
    return this.#queue.run(async () => {
      if (this.state.state === "stopped") throw illegal("update", this.state);
      const container = this.#live();
      if (!container.update) throw unimplemented("update");
      await container.update(resources);
    });
  }

  /** `replayed`: it may be done, and the container have ended by it. */
  checkpoint(request: Omit<CheckpointRequest, "isPaused">, replayed: boolean): Promise<void> {
    return this.#queue.run(async () => {
      const container = this.#live();
      const { state } = this.state;
      if (!container.checkpoint) throw unimplemented("checkpoint");
      const isDone = replayed && state === "stopped";
      if (state !== "running" && state !== "paused" && !isDone) throw illegal("checkpoint", this.state);
      await container.checkpoint({ ...request, isPaused: state === "paused" });
    });
  }

  /** The container, for what reads it. Throws FailedPrecondition before Create has ended. */
  container(): Container {
    return this.#live();
  }

  /**
   * Every process in the container. The kernel empties it a moment before the monitor tells of the exit: none is only said of a task
   * that is known to have stopped, because containerd deletes such a one.
   */
  async pids(): Promise<readonly number[]> {
    if (this.state.state === "creating" || this.state.state === "stopped") return [];
    const container = this.#live();
    const pids = container.pids();
    if (pids.length === 0) await this.#within(EXIT_LIMIT_MS, container.init.exited());
    return pids;
  }

  /**
   * Delete init and everything of the container. Resolves with pid and exit. Afterwards the caller forgets the task; a replay finds
   * `deletedBy`. Throws FailedPrecondition while it runs.
   */
  delete(by: string): Promise<{ readonly pid: number; readonly exit: ExitRecord }> {
    return this.#queue.run(async () => {
      if (this.#record.deletedBy !== undefined) {
        if (this.#record.deletedBy === by) return this.#ended();
        throw new StatusError(Code.NotFound, `container ${this.id} was deleted: not found`);
      }
      if (this.state.state === "running" || this.state.state === "paused" || this.state.state === "pausing")
        throw illegal("delete", this.state);
      return await this.#remove(by);
    });
  }

  /** Whether its Delete has done its work. It is there for a replay of that Delete only. */
  get isDeleted(): boolean {
    return this.#record.deletedBy !== undefined;
  }

  /** End it whatever its state is: for `delete` after a shim's or a connection's death. */
  destroy(by: string): Promise<{ readonly pid: number; readonly exit: ExitRecord }> {
    return this.#queue.run(async () => (this.isDeleted ? this.#ended() : await this.#remove(by)));
  }

  async #remove(by: string): Promise<{ readonly pid: number; readonly exit: ExitRecord }> {
    const container = this.#container ?? (await this.#remains());
    if (container) {
      if (this.state.state !== "stopped") await this.#kill(container);
      await this.#told();
      await this.drain(container.init);
      // containerd closes the task's connection with Delete's answer, and a Kill without one would have failed
      await this.#within(EXIT_LIMIT_MS, Promise.all(this.#signals));
      await container.remove();
    }
    for (const exec of this.execs.values()) this.forgetExec(exec.request);
    this.#host.forget(initKey(this.id));
    this.#host.clearUndo(this.#record.request.bundle);
    const ended = this.#ended();
    if (this.state.state !== "creating") this.events.deleted(this.id, ended.pid, ended.exit);
    this.#save({ deletedBy: by });
    return ended;
  }

  /** What a Create left that was cut short by a crash and not repeated: its init may wait at the gate. */
  async #remains(): Promise<Container | undefined> {
    if (this.state.state !== "creating" || !this.#hasBegun()) return undefined;
    const container = await this.#runtime.recover(this.#record.request, this.#host);
    await this.#kill(container);
    await this.#within(EXIT_LIMIT_MS, container.init.exited());
    return container;
  }

  /** Keys below init's are what the runtime ran for this container. */
  #hasBegun(): boolean {
    const key = initKey(this.id);
    return this.#host.has(key) || this.#host.keys(`${key}/`).length > 0;
  }

  async #kill(container: Container): Promise<void> {
    if (container.init.hasExited) return;
    await container.killAll(SIGKILL).catch(() => undefined);
    await this.#host.signal(container.init, SIGKILL).catch(() => undefined); // ESRCH: it is gone, as wanted
  }

  /** Wait until init's exit has been told, within a bound. */
  async #told(): Promise<void> {
    if (this.outcome || this.state.state === "creating") return;
    await this.waiters.wait(AbortSignal.timeout(EXIT_LIMIT_MS * 2)).catch(() => undefined);
  }

  /** No more input for init will come. */
  async closeStdin(): Promise<void> {
    await this.init?.run(closeStdinProgram());
  }

  /** Wait for the output of a process that has ended, within the bound. */
  async drain(process: ContainerProcess): Promise<void> {
    if (!this.#host.has(process.key)) return; // a Delete that a crash cut short had come further
    await this.#within(DRAIN_LIMIT_MS, process.drained());
  }

  async #within(limitMs: number, done: Promise<unknown>): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, limitMs);
    });
    await Promise.race([done, over]);
    clearTimeout(timer);
  }

  /** Publish the OOM kills that were not published yet. Called before each exit by SIGKILL, and when the kernel tells of one. */
  publishOom(): void {
    const kills = this.#container?.oomKills?.() ?? 0;
    if (kills <= this.#record.oomKills) return;
    this.events.oom(this.id);
    this.#save({ oomKills: kills });
  }

  /** The kernel has told of an OOM. cgroup v1 tells before it kills, so the count may only grow in a moment. Told after a Start that it overtook. */
  async outOfMemory(): Promise<void> {
    const published = this.#record.oomKills;
    for (const pauseMs of OOM_LOOKS_MS) {
      await this.#starting;
      this.publishOom();
      if (this.#record.oomKills > published || this.state.state === "stopped") return;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    this.publishOom();
  }

  /** Everything of it that the monitor keeps. Called when the answer to Delete is on its way. */
  dropNotes(): void {
    for (const exec of this.execs.values()) this.note(exec.noteKey, undefined);
    this.note(taskNote(this.id), undefined);
  }

  /** After a restart of the task server. A task whose Create was cut short waits for the replay, or for `delete`. */
  recover(execs: readonly ExecRecord[], hasProcess: (key: string) => boolean): Promise<void> {
    for (const record of execs) this.execs.set(record.request.id, new Exec(this, record));
    if (this.state.state === "creating" || this.isDeleted) return this.#recovery;
    this.#recovery = this.#queue.run(async () => {
      const container = await this.#runtime.recover(this.#record.request, this.#host);
      this.#container = container;
      const { startedBy, startFailure } = this.#record;
      if (this.state.state === "created" && startedBy !== undefined && startFailure?.by !== startedBy)
        await this.#finishStart(startedBy).catch(() => undefined);
      await Promise.all([...this.execs.values()].map((exec) => exec.recover(hasProcess(execKey(this.id, exec.id)))));
      this.#attach(container);
    });
    return this.#recovery;
  }

  /** Resolves once a restarted task server knows the container again. */
  ready(): Promise<void> {
    return this.#recovery;
  }

  #attach(container: Container): void {
    this.#container = container;
    container.watchOom?.(() => void this.outOfMemory());
    void container.init.exited().then((exit) => this.#queueExit(container, exit));
  }

  /** An exit goes out after the Start that is on its way. It is not queued: a Delete or pause that waits for it must not block it. */
  async #queueExit(container: Container, exit: ExitRecord): Promise<void> {
    await this.#starting;
    await this.#initExited(container, exit);
  }

  async #initExited(container: Container, exit: ExitRecord): Promise<void> {
    if (this.outcome) return;
    const wasFrozen = this.state.state === "paused" || this.state.state === "pausing";
    this.#exit = exit;
    if (!container.endsWithInit)
      await container
        .killAll(SIGKILL)
        .catch((error: unknown) => this.#host.log.warning("kill on exit", { id: this.id, error }));
    else if (wasFrozen) await container.resume?.().catch(() => undefined);
    await Promise.all([this.#execsSettled(), consumed(container.init, this.#record.request.stdio)]);
    this.publishOom();
    this.events.exited(this.id, this.id, container.init.pid, exit);
    this.#save({ state: this.state });
    this.waiters.settle(this.state);
  }

  async #execsSettled(): Promise<void> {
    const open = [...this.execs.values()].map((exec) => exec.settled);
    if (open.length > 0) await this.#within(EXIT_LIMIT_MS, Promise.all(open));
  }

  #ended(): { pid: number; exit: ExitRecord } {
    const { state } = this;
    if (state.state === "stopped") return { pid: state.pid, exit: state.exit };
    return { pid: pidOf(state), exit: { exit: { kind: "lost", why: "never ran" }, exitedAtNs: this.#host.nowNs() } };
  }

  #live(): Container {
    if (this.#container) return this.#container;
    throw new StatusError(Code.FailedPrecondition, `container ${this.id}: not created yet`);
  }

  #save(change: Partial<TaskRecord>): void {
    this.#record = { ...this.#record, ...change };
    const record = this.#record;
    this.note(taskNote(this.id), () => encodeRecord(record));
  }
}

/** Name of a task's note. */
export function taskNote(id: string): string {
  return `task/${id}`;
}

/** The monitor's key of a container's init. Below it, by `/`, are the keys of whatever else a runtime runs for the container. */
export function initKey(id: string): string {
  return `init/${id}`;
}

/** The monitor's key of an exec. */
export function execKey(id: string, execId: string): string {
  return `exec/${id}/${execId}`;
}

function noExec(id: string): StatusError {
  return new StatusError(Code.NotFound, `process does not exist ${id}: not found`);
}

function unimplemented(verb: string): StatusError {
  return new StatusError(Code.Unimplemented, `this runtime does not ${verb}: not implemented`);
}
