import type { TaskEvents } from "../events/task-events.ts";
import type { ContainerProcess } from "../host/container-process.ts";
import type { ExecRequest } from "./record.ts";

/** What an exec needs of its task. */
export interface TaskContext {
  readonly id: string;
  readonly events: TaskEvents;
  note(key: string, encode: (() => Uint8Array) | undefined): void;
  assertCanExec(): void;
  launchExec(request: ExecRequest): Promise<ContainerProcess>;
  forgetExec(request: ExecRequest): void;
  drain(process: ContainerProcess): Promise<void>;
  publishOom(): void;
}
