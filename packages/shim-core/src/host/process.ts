import type { MonitorLink, ProcessReport } from "@trimaran/monitor";
import { type ExitRecord, fromWaitStatus } from "../task/exit.ts";
import type { ContainerProcess } from "./container-process.ts";

/** A request, as the monitor knows it: what it did is done once, however often its frame is replayed. */
export interface RequestKey {
  readonly conn: number;
  readonly stream: number;
}

/** Turns (step, errno) of a failed program into the error for the client. */
export type DescribeFailure = (step: number, errno: number) => Error;

/**
 * One process that the monitor runs, or ran. Made by `Host.launch`, or found again by its key after a restart of the task server.
 * Its promises settle from the monitor's reports; none of them polls.
 */
export class MonitoredProcess implements ContainerProcess {
  readonly key: string;
  readonly #link: MonitorLink;
  readonly #describe: DescribeFailure;
  readonly #earlier: MonitoredProcess | undefined;
  readonly #spawned = Promise.withResolvers<number>();
  readonly #ready = Promise.withResolvers<number>();
  readonly #execed = Promise.withResolvers<void>();
  readonly #exited = Promise.withResolvers<ExitRecord>();
  readonly #drained = Promise.withResolvers<void>();
  #report: ProcessReport | undefined;

  /** `earlier`: of the same key, for whoever waits for that one. */
  constructor(link: MonitorLink, key: string, describe: DescribeFailure, earlier?: MonitoredProcess) {
    this.#link = link;
    this.key = key;
    this.#describe = describe;
    this.#earlier = earlier?.hasExited === true ? undefined : earlier;
    // A caller may look at one of these only; the others must not count as unhandled.
    for (const { promise } of [this.#spawned, this.#ready, this.#execed]) promise.catch(() => undefined);
    const known = link.processes.get(key);
    if (known) this.report(known);
  }

  /** 0 before the clone. */
  get pid(): number {
    return this.#report?.pid ?? 0;
  }

  /** Field 22 of /proc/PID/stat; with the pid it names the process for ever. */
  get startTime(): bigint {
    return this.#report?.startTime ?? 0n;
  }

  get hasExited(): boolean {
    return this.#report?.exit !== undefined;
  }

  /** What was in its last slot's file when it had ended; "" before, and without such a slot. */
  get last(): string {
    return Buffer.from(this.#report?.exit?.last ?? []).toString();
  }

  /** That file could not be read at the end: what `last` has is older, or nothing. False before the end. */
  get lastIsLost(): boolean {
    const exit = this.#report?.exit;
    return exit !== undefined && (exit.lastIsStale || exit.last.length === 0);
  }

  /** Resolves with the pid once there is a process. Rejects where a step before the clone failed, and where one can't be adopted. */
  spawned(): Promise<number> {
    return this.#spawned.promise;
  }

  /** Resolves with the pid once the program waits at its gate or has execed. Rejects where a step failed. */
  reachedGate(): Promise<number> {
    return this.#ready.promise;
  }

  /** Resolves once execve has succeeded. Rejects where a step failed. */
  execed(): Promise<void> {
    return this.#execed.promise;
  }

  /** Resolves with the exit, also of a process whose program failed after the clone; `lost` where it failed before. */
  exited(): Promise<ExitRecord> {
    return this.#exited.promise;
  }

  /** Resolves when every byte of output has been handed on. */
  drained(): Promise<void> {
    return this.#drained.promise;
  }

  openGate(): void {
    this.#link.openGate(this.key);
  }

  /** Let it go on from the start gate. Resolves once execve has succeeded; rejects where it failed. */
  async start(): Promise<void> {
    this.openGate();
    await this.execed();
  }

  /** Run a small program on this process's slots; `once` makes a replay of the request give the same answer without doing it again. */
  async run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return await this.#link.run(this.key, program, once ? { ...once, nth: 0 } : undefined);
  }

  /** Drop what the monitor keeps of it: fds, streams, status. End of file for whoever reads its output. */
  forget(): void {
    this.#link.forget(this.key);
  }

  /** The monitor's news of this process. */
  report(report: ProcessReport): void {
    this.#earlier?.report(report);
    this.#report = report;
    if (report.failure) {
      const error = this.#describe(report.failure.step, report.failure.errno);
      if (!report.spawned) this.#spawned.reject(error);
      this.#ready.reject(error);
      this.#execed.reject(error);
      if (!report.spawned) this.#exited.resolve({ exit: { kind: "lost", why: error.message }, exitedAtNs: 0n }); // there was never a process
    }
    if (report.spawned) this.#spawned.resolve(report.pid);
    if (report.atGate || report.execed) this.#ready.resolve(report.pid);
    if (report.execed) this.#execed.resolve();
    if (report.exit) {
      const exit = { exit: fromWaitStatus(report.exit.waitStatus), exitedAtNs: report.exit.exitedAtNs };
      const early = new Error("the process ended before its program did");
      this.#ready.reject(early);
      this.#execed.reject(early);
      this.#exited.resolve(exit);
    }
    if (report.drained) this.#drained.resolve();
  }

  /** The monitor is gone: what is not known by now will never be. */
  lost(error: Error): void {
    this.#earlier?.lost(error);
    this.#spawned.reject(error);
    this.#ready.reject(error);
    this.#execed.reject(error);
  }
}
