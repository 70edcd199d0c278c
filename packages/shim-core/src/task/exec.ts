import { Code, StatusError } from "ttrpc-ts";
import type { ContainerProcess } from "../host/container-process.ts";
import { closeStdinProgram } from "../host/programs.ts";
import { consumed } from "../stdio/consumed.ts";
import { toStatus } from "../to-status.ts";
import type { ExitRecord } from "./exit.ts";
import { illegal, outcomeOf, type ProcessState, pidOf, started, stopped } from "./lifecycle.ts";
import { SerialQueue } from "./queue.ts";
import { type ExecRecord, type ExecRequest, encodeRecord } from "./record.ts";
import type { TaskContext } from "./task-context.ts";
import { Waiters } from "./waiters.ts";

/** One further process of a task: added by Exec, run by Start. */
export class Exec {
  readonly waiters = new Waiters<ProcessState>();
  /** Settles when its exit was published, or at once if it never ran: init's exit goes out after it. */
  settled: Promise<void> = Promise.resolve();
  process: ContainerProcess | undefined;
  #record: ExecRecord;
  /** Its exit, known and not told yet. */
  #exit: ExitRecord | undefined;
  readonly #task: TaskContext;
  readonly #queue = new SerialQueue();

  constructor(task: TaskContext, record: ExecRecord) {
    this.#task = task;
    this.#record = record;
  }

  get id(): string {
    return this.#record.request.id;
  }

  get request(): ExecRequest {
    return this.#record.request;
  }

  /** As State reports it: stopped from the moment in which the exit is known. */
  get state(): ProcessState {
    const { state } = this.#record;
    return this.#exit ? stopped(state, pidOf(state), this.#exit) : state;
  }

  /** What Wait answers, once the exit has been told or Start has failed. */
  get outcome(): ProcessState | undefined {
    return outcomeOf(this.#record.state);
  }

  get addedBy(): string {
    return this.#record.addedBy;
  }

  /** Whether its Delete has done its work. It is there for a replay of that Delete only. */
  get isDeleted(): boolean {
    return this.#record.deletedBy !== undefined;
  }

  get noteKey(): string {
    return `exec/${this.#task.id}/${this.id}`;
  }

  save(change: Partial<ExecRecord>): void {
    this.#record = { ...this.#record, ...change };
    const record = this.#record;
    this.#task.note(this.noteKey, () => encodeRecord(record));
  }

  /** Run it. `by` names the request; a replay of the same request gives the same pid. */
  start(by: string): Promise<number> {
    return this.#queue.run(async () => {
      if (this.#record.startedBy === by && this.state.state !== "added") return this.#answer();
      this.#task.assertCanExec();
      started(this.state, 0); // refuses what cannot be started, before anything is recorded
      this.save({ startedBy: by });
      await this.#launch();
      return this.#answer();
    });
  }

  /** No more input will come. Before Start it is remembered. */
  async closeStdin(): Promise<void> {
    if (this.process) await this.process.run(closeStdinProgram());
    else if (this.state.state === "added") this.save({ stdinClosed: true });
  }

  /** Its client kills it: see `#endOutput`. Too late if it has ended by itself. */
  expectKill(): void {
    if (this.process?.hasExited !== true && this.#record.isKilled !== true) this.save({ isKilled: true });
  }

  /** After a restart of the task server: pick up the process if the monitor has one. */
  async recover(hasProcess: boolean): Promise<void> {
    if (this.#record.startedBy === undefined || !hasProcess) return;
    if (this.state.state === "failed") {
      this.#task.forgetExec(this.request); // or the next exec of that id would get this one's failure
      return;
    }
    await this.#queue.run(() => this.#launch()).catch(() => undefined); // the failure is in the state, and in the replayed Start's answer
  }

  /** Take it off the books. Throws FailedPrecondition while it runs. Resolves with the state it ended in. */
  async delete(by: string): Promise<ProcessState> {
    return await this.#queue.run(async () => {
      const { state } = this;
      if (this.#record.deletedBy === by) return state; // a replay
      if (this.isDeleted) throw new StatusError(Code.NotFound, `process does not exist ${this.id}: not found`);
      if (state.state === "running") throw illegal("delete", state);
      await this.settled;
      if (this.process) await this.#task.drain(this.process);
      this.#task.forgetExec(this.request);
      this.save({ deletedBy: by });
      return state;
    });
  }

  #answer(): number {
    const { state } = this;
    if (state.state === "failed") throw new StatusError(state.code, state.why);
    return pidOf(state);
  }

  async #launch(): Promise<void> {
    const settled = Promise.withResolvers<void>();
    this.settled = settled.promise;
    try {
      const process = await this.#task.launchExec(this.request);
      this.process = process;
      if (this.state.state === "added") {
        this.#task.events.execStarted(this.#task.id, this.id, process.pid); // before the state: a crash between them loses no event
        this.save({ state: started(this.state, process.pid) });
      }
      if (this.#record.stdinClosed) await this.closeStdin();
      void process.exited().then((exit) => this.#exited(process, exit).finally(settled.resolve));
    } catch (error) {
      const { code, message } = toStatus(error);
      this.save({ state: { state: "failed", code, why: message } });
      this.#task.forgetExec(this.request);
      this.waiters.settle(this.state);
      settled.resolve();
      throw error;
    }
  }

  async #exited(process: ContainerProcess, exit: ExitRecord): Promise<void> {
    if (this.#record.isKilled) void this.#endOutput(process);
    if (this.outcome) return;
    this.#exit = exit;
    await consumed(process, this.request.stdio);
    if (exit.exit.kind === "signaled" && exit.exit.signal === 9) this.#task.publishOom();
    this.#task.events.exited(this.#task.id, this.id, process.pid, exit);
    this.save({ state: this.state });
    this.waiters.settle(this.state);
  }

  /**
   * Output of what was killed ends within the bound that Delete has, whoever still holds the pipe: CRI kills a probe that takes too long, and then
   * waits for the end of its output without a bound before it says so.
   */
  async #endOutput(process: ContainerProcess): Promise<void> {
    await this.#task.drain(process);
    if (!this.isDeleted) this.#task.forgetExec(this.request);
  }
}
