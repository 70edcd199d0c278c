import type { ContainerProcess, ExitRecord } from "@trimaran/shim-core";

const ESRCH = 3;

/** Init of a container that somebody else has made, whose child it is: its signals, streams and exit are theirs. It stays here until its container is removed. */
export class AdoptedProcess implements ContainerProcess {
  readonly key: string;
  readonly pid: number;
  readonly hasExited = false;

  constructor(key: string, pid: number) {
    this.key = key;
    this.pid = pid;
  }

  exited(): Promise<ExitRecord> {
    return new Promise(() => undefined);
  }

  async drained(): Promise<void> {}

  /** It has no slots here. */
  async run(): Promise<{ readonly errno: number; readonly value: bigint }> {
    return { errno: ESRCH, value: 0n };
  }
}
