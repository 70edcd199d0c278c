import { setTimeout as delay } from "node:timers/promises";
import type { ContainerProcess, ExitRecord, MonitoredProcess, RequestKey } from "@trimaran/shim-core";

/** What runsc says of a start that failed is on its way to the container's stderr. */
const LAST_WORDS_MS = 100;
const KILLED = { kind: "signaled", signal: 9 } as const;

/** The first process of a sandbox's first container: it ends with the sandbox, whose exit status is its own. */
export class FirstProcess implements ContainerProcess {
  readonly #stdio: MonitoredProcess;
  readonly #exit = Promise.withResolvers<ExitRecord>();
  #sandbox: MonitoredProcess | undefined;
  #hasEnded = false;

  /** `stdio`: whose slots the container's streams are in. `sandbox`: undefined before a restore. */
  constructor(stdio: MonitoredProcess, sandbox: MonitoredProcess | undefined) {
    this.#stdio = stdio;
    if (sandbox) this.attach(sandbox);
  }

  /** There is a sandbox now. */
  attach(sandbox: MonitoredProcess): void {
    this.#sandbox = sandbox;
    void sandbox.exited().then(this.#exit.resolve);
  }

  get key(): string {
    return this.#stdio.key;
  }

  get pid(): number {
    return this.#sandbox?.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#hasEnded || this.#sandbox?.hasExited === true;
  }

  exited(): Promise<ExitRecord> {
    return this.#exit.promise;
  }

  drained(): Promise<void> {
    return this.#stdio.drained();
  }

  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return this.#stdio.run(program, once);
  }

  /** It will never run. */
  end(exitedAtNs: bigint): void {
    this.#hasEnded = true;
    this.#exit.resolve({ exit: KILLED, exitedAtNs });
  }
}

/** The first process of a further container: a `runsc wait` tells its exit; before there is one, only the sandbox's end can end it. */
export class MemberProcess implements ContainerProcess {
  readonly #stdio: MonitoredProcess;
  readonly #sandbox: MonitoredProcess;
  readonly #exit = Promise.withResolvers<ExitRecord>();
  #hasExited = false;
  #isWaitedFor = false;

  constructor(stdio: MonitoredProcess, sandbox: MonitoredProcess) {
    this.#stdio = stdio;
    this.#sandbox = sandbox;
    void sandbox.exited().then(({ exitedAtNs }) => {
      if (!this.#isWaitedFor) this.end(exitedAtNs);
    });
  }

  get key(): string {
    return this.#stdio.key;
  }

  /** The sandbox's: in the host's eyes it is all one process. */
  get pid(): number {
    return this.#sandbox.pid;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  exited(): Promise<ExitRecord> {
    return this.#exit.promise;
  }

  /** One that never ran has written nothing, but a sandbox that could not start it holds its output open. */
  async drained(): Promise<void> {
    const drained = this.#stdio.drained();
    await (this.#isWaitedFor ? drained : Promise.race([drained, delay(LAST_WORDS_MS)]));
  }

  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return this.#stdio.run(program, once);
  }

  /** `runsc wait` runs; `read` gives the exit status that it has written, undefined where the sandbox's end ended it as well. */
  waitFor(wait: MonitoredProcess, read: () => number | undefined): void {
    this.#isWaitedFor = true;
    void wait.exited().then(({ exitedAtNs }) => {
      const code = read();
      if (code === undefined) this.end(exitedAtNs);
      else this.#ended({ exit: { kind: "exited", code }, exitedAtNs });
    });
  }

  /** It was killed, or will never run. */
  end(exitedAtNs: bigint): void {
    this.#ended({ exit: KILLED, exitedAtNs });
  }

  #ended(exit: ExitRecord): void {
    this.#hasExited = true;
    this.#exit.resolve(exit);
  }
}
