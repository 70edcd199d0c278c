import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import type { ProgramBuilder } from "@trimaran/linux";
import type { ContainerProcess, ExitRecord, MonitoredProcess, RequestKey } from "@trimaran/shim-core";
import { SLOT } from "@trimaran/shim-core";

// asm-generic/fcntl.h, linux/stat.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const FIFO_0600 = 0o010600;

/** One more process of a container: a `runsc exec` that stays in the foreground, and ends with the status of its process. */
export class ExecProcess implements ContainerProcess {
  readonly #runsc: MonitoredProcess;
  readonly #pidFile: string;
  readonly #started = Promise.withResolvers<void>();

  /** `pidFile`: where runsc writes the pid that the process has inside, once it runs. */
  constructor(runsc: MonitoredProcess, pidFile: string) {
    this.#runsc = runsc;
    this.#pidFile = pidFile;
    this.look();
    void runsc.exited().then(() => this.#started.resolve());
  }

  get key(): string {
    return this.#runsc.key;
  }

  /** Of `runsc exec`, which the host can see. */
  get pid(): number {
    return this.#runsc.pid;
  }

  get hasExited(): boolean {
    return this.#runsc.hasExited;
  }

  /** Its pid in the sandbox; undefined before it has started. */
  get innerPid(): number | undefined {
    try {
      const pid = Number.parseInt(readFileSync(this.#pidFile, "utf8"), 10);
      return Number.isNaN(pid) ? undefined : pid;
    } catch {
      return undefined;
    }
  }

  /** Resolves with whether it runs, or ran: false if `runsc exec` has ended without it. */
  async started(): Promise<boolean> {
    await this.#started.promise;
    return this.innerPid !== undefined;
  }

  /** The pid file may have been written. */
  look(): void {
    if (this.innerPid !== undefined) this.#started.resolve();
  }

  exited(): Promise<ExitRecord> {
    return this.#runsc.exited();
  }

  drained(): Promise<void> {
    return this.#runsc.drained();
  }

  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return this.#runsc.run(program, once);
  }
}

/**
 * Steps before the clone that let the watch slot tell when runsc has begun: it writes `--pid-file`, a FIFO here, once `--internal-pid-file` is
 * there. (inotify would tell it too, but to close one takes a grace period of the kernel's, 8 ms, in which the monitor does nothing else.)
 */
export function watchStart(builder: ProgramBuilder, fifo: string): void {
  builder.field = "runsc exec";
  const name = builder.data.string(fifo);
  builder.sys("unlinkat", [AT_FDCWD, name, 0], { tolerate: ["ENOENT"] });
  builder.sys("mknodat", [AT_FDCWD, name, FIFO_0600, 0]);
  const reader = builder.call("openat", [AT_FDCWD, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0]);
  builder.op("KEEP", [reader, SLOT.watch]);
  builder.release(reader);
}

/**
 * Remove the files of execs that were deleted. They outlive the exec itself, because a restarted task server goes by them; so the next exec takes
 * them away.
 */
export function removeExecFiles(work: string, isKnown: (execId: string) => boolean): void {
  const names = existsSync(work) ? readdirSync(work) : [];
  for (const name of names) {
    const [, execId] = /^exec-(.+)\.(?:json|pid|log|started)$/.exec(name) ?? [];
    if (execId !== undefined && !isKnown(execId)) rmSync(`${work}/${name}`, { force: true });
  }
}
