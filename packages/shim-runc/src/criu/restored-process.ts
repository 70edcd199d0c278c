import type { ContainerProcess, ExitRecord, MonitoredProcess, RequestKey } from "@trimaran/shim-core";

const KILLED = { kind: "signaled", signal: 9 } as const;

/**
 * Init of a container that criu restores: its stdio is criu's, in the monitor's entry, and the process itself is one that the monitor adopts,
 * as soon as there is one. If criu ends without, that is its end.
 */
export class RestoredProcess implements ContainerProcess {
  readonly #criu: MonitoredProcess;
  readonly #exit = Promise.withResolvers<ExitRecord>();
  #process: MonitoredProcess | undefined;
  #isOver = false;

  constructor(criu: MonitoredProcess) {
    this.#criu = criu;
    void criu.exited().then(({ exitedAtNs }) => {
      if (this.#process !== undefined) return;
      this.#isOver = true;
      this.#exit.resolve({ exit: KILLED, exitedAtNs });
    });
  }

  /** There it is. */
  attach(process: MonitoredProcess): void {
    this.#process = process;
    void process.exited().then(this.#exit.resolve);
  }

  /** What signals go to: criu itself as long as there is nothing else. */
  get target(): MonitoredProcess {
    return this.#process ?? this.#criu;
  }

  get key(): string {
    return this.#criu.key;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get hasExited(): boolean {
    return this.#isOver || this.#process?.hasExited === true;
  }

  exited(): Promise<ExitRecord> {
    return this.#exit.promise;
  }

  drained(): Promise<void> {
    return this.#criu.drained();
  }

  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return this.#criu.run(program, once);
  }
}
