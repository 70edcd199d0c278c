import type { Container, MonitoredProcess } from "@trimaran/shim-core";
import { deleteState } from "./commands.ts";
import type { Making } from "./making.ts";

/** What is left of a Create that was cut short, and is not repeated: it can only be taken away. */
export class UnfinishedContainer implements Container {
  readonly init: MonitoredProcess;
  readonly endsWithInit = true;
  readonly #making: Making;

  constructor(making: Making, init: MonitoredProcess) {
    this.#making = making;
    this.init = init;
  }

  async start(): Promise<void> {
    throw new Error("its creation was cut short");
  }

  async exec(): Promise<never> {
    throw new Error("its creation was cut short");
  }

  async killAll(): Promise<void> {
    await this.#making.cgroup.kill();
  }

  pids(): readonly number[] {
    return this.#making.cgroup.processes();
  }

  async remove(): Promise<void> {
    await unmake(this.#making);
  }
}

/** Take away all that a Create has made by now. */
export async function unmake(making: Making): Promise<void> {
  await making.cgroup.kill();
  await deleteState(making);
  await making.cgroup.remove();
}
