import { ANY, containerd, packAny, toTimestamp } from "@trimaran/proto";
import { type ExitRecord, exitStatus } from "../task/exit.ts";
import type { CreateRequest } from "../task/record.ts";
import type { Outbox } from "./outbox.ts";

const events = containerd.events;

/** The events of one container's life, as containerd's contract has them. Source: contract section 4. */
export class TaskEvents {
  readonly #outbox: Outbox;
  readonly #namespace: string;
  readonly #nowNs: () => bigint;

  constructor(outbox: Outbox, namespace: string, nowNs: () => bigint) {
    this.#outbox = outbox;
    this.#namespace = namespace;
    this.#nowNs = nowNs;
  }

  created(request: CreateRequest, pid: number): void {
    const { stdin, stdout, stderr, terminal } = request.stdio;
    const io = { stdin, stdout, stderr, terminal };
    const { id: containerId, bundle, rootfs } = request;
    const value = events.TaskCreate.encode({ containerId, bundle, rootfs, io, checkpoint: "", pid });
    this.#emit("/tasks/create", ANY.taskCreate, value);
  }

  started(containerId: string, pid: number): void {
    this.#emit("/tasks/start", ANY.taskStart, events.TaskStart.encode({ containerId, pid }));
  }

  /** `id` is the exec's, or the container's own for init. */
  exited(containerId: string, id: string, pid: number, record: ExitRecord): void {
    const value = events.TaskExit.encode({
      containerId,
      id,
      pid,
      exitStatus: exitStatus(record.exit),
      exitedAt: toTimestamp(record.exitedAtNs),
    });
    this.#emit("/tasks/exit", ANY.taskExit, value);
  }

  deleted(containerId: string, pid: number, record: ExitRecord): void {
    const value = events.TaskDelete.encode({
      containerId,
      pid,
      exitStatus: exitStatus(record.exit),
      exitedAt: toTimestamp(record.exitedAtNs),
    });
    this.#emit("/tasks/delete", ANY.taskDelete, value);
  }

  execAdded(containerId: string, execId: string): void {
    this.#emit("/tasks/exec-added", ANY.taskExecAdded, events.TaskExecAdded.encode({ containerId, execId }));
  }

  execStarted(containerId: string, execId: string, pid: number): void {
    this.#emit("/tasks/exec-started", ANY.taskExecStarted, events.TaskExecStarted.encode({ containerId, execId, pid }));
  }

  oom(containerId: string): void {
    this.#emit("/tasks/oom", ANY.taskOOM, events.TaskOOM.encode({ containerId }));
  }

  paused(containerId: string): void {
    this.#emit("/tasks/paused", ANY.taskPaused, events.TaskPaused.encode({ containerId }));
  }

  resumed(containerId: string): void {
    this.#emit("/tasks/resumed", ANY.taskResumed, events.TaskResumed.encode({ containerId }));
  }

  #emit(topic: string, typeName: string, value: Uint8Array): void {
    const envelope = containerd.types.Envelope.encode({
      timestamp: toTimestamp(this.#nowNs()),
      namespace: this.#namespace,
      topic,
      event: packAny(typeName, value),
    });
    this.#outbox.add(envelope);
  }
}
