import type { ExitRecord } from "../task/exit.ts";
import type { RequestKey } from "./process.ts";

/**
 * A process of a container, as the SDK sees it: a child of the monitor (`MonitoredProcess`), or what a runtime puts together where the
 * process itself is out of reach, in a sandbox say. Its promises settle from the monitor's reports.
 */
export interface ContainerProcess {
  /** The monitor's entry that holds its stdio. */
  readonly key: string;
  /** As the host sees it; 0 before the clone. */
  readonly pid: number;
  readonly hasExited: boolean;
  /** Resolves with the exit. */
  exited(): Promise<ExitRecord>;
  /** Resolves when every byte of output has been handed on. */
  drained(): Promise<void>;
  /** Run a small program on the slots of `key`; with `once` a replay of the request gives the same answer without doing it again. */
  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }>;
  /** Tell its terminal the size, in characters. Default: the terminal in the slots of `key`. */
  resize?(width: number, height: number): Promise<void>;
}
