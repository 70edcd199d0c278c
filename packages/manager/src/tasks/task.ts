import { ANY, containerd, packAny } from "@trimaran/proto";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { type ExitRecord, toExitRecord } from "../shims/delete-shim.ts";
import type { ShimConnection } from "../shims/shim-connection.ts";
import type { OciProcess } from "../spec/oci-spec.ts";
import type { TaskIo } from "../stores/container-record.ts";

export type TaskState = "created" | "running" | "paused" | "stopped" | "unknown";

/** What a shim says about one process of a task. */
export interface TaskStatus {
  readonly state: TaskState;
  /** In the host's pid namespace. */
  readonly pid: number;
  readonly io: TaskIo;
  readonly exit: ExitRecord | undefined;
}

/** Ends the task's shim and its bundle; the owner of the bundle gives it. */
export interface TaskOwner {
  /** The shim is gone: clean up by its `delete` command, and say how the task ended. */
  lost(): Promise<ExitRecord>;
  /** The task was deleted by the shim: end the shim, remove the bundle, note the exit. */
  deleted(exit: ExitRecord): Promise<void>;
}

const STATE_TIMEOUT_MS = 2000;

/** A task in its shim. `execId` "" is the container's first process. */
export class Task {
  readonly id: string;
  readonly #connection: ShimConnection;
  readonly #owner: TaskOwner;

  constructor(id: string, connection: ShimConnection, owner: TaskOwner) {
    this.id = id;
    this.#connection = connection;
    this.#owner = owner;
  }

  /** Within 2 s, or DeadlineExceeded. */
  async status(execId = ""): Promise<TaskStatus> {
    const reply = await this.#connection.task.state({ id: this.id, execId }, { timeoutMs: STATE_TIMEOUT_MS });
    const { terminal, stdin, stdout, stderr } = reply;
    const state = stateName(reply.status);
    const exit = state === "stopped" ? toExitRecord(reply) : undefined;
    return { state, pid: reply.pid, io: { terminal, stdin, stdout, stderr }, exit };
  }

  /** The pid, in the host's pid namespace. */
  async start(execId = ""): Promise<number> {
    return (await this.#connection.task.start({ id: this.id, execId })).pid;
  }

  /** Until the process has ended; may be asked before Start. If the shim dies meanwhile, its `delete` command gives the status. */
  async wait(execId = ""): Promise<ExitRecord> {
    try {
      return toExitRecord(await this.#connection.task.wait({ id: this.id, execId }));
    } catch (error) {
      if (!isClosed(error)) throw error;
      return this.#owner.lost();
    }
  }

  /** Throws NotFound if it has exited. */
  async kill(signal: number, options: { readonly all?: boolean; readonly execId?: string } = {}): Promise<void> {
    const { all = false, execId = "" } = options;
    await this.#connection.task.kill({ id: this.id, execId, signal, all });
  }

  /** Add a process; `start` then starts it. */
  async exec(execId: string, process: OciProcess, io: TaskIo): Promise<void> {
    const spec = packAny(ANY.ociProcess, Buffer.from(JSON.stringify(process)));
    await this.#connection.task.exec({ id: this.id, execId, spec, ...io });
  }

  /** Remove an exec that has ended or was never started. Waits for its output, within the shim's bound. */
  async deleteExec(execId: string): Promise<ExitRecord> {
    return toExitRecord(await this.#connection.task.delete({ id: this.id, execId }));
  }

  async resize(size: { readonly columns: number; readonly rows: number }, execId = ""): Promise<void> {
    await this.#connection.task.resizePty({ id: this.id, execId, width: size.columns, height: size.rows });
  }

  /** No more input will come. What was written before still arrives. */
  async closeStdin(execId = ""): Promise<void> {
    await this.#connection.task.closeIO({ id: this.id, execId, stdin: true });
  }

  async pause(): Promise<void> {
    await this.#connection.task.pause({ id: this.id });
  }

  async resume(): Promise<void> {
    await this.#connection.task.resume({ id: this.id });
  }

  /** Host pids of all processes. */
  async pids(): Promise<number[]> {
    return (await this.#connection.task.pids({ id: this.id })).processes.map(({ pid }) => pid);
  }

  /** Delete the stopped task, end its shim and remove its bundle. Safe to repeat after a failure. */
  async delete(): Promise<ExitRecord> {
    let exit: ExitRecord;
    try {
      exit = toExitRecord(await this.#connection.task.delete({ id: this.id, execId: "" }));
    } catch (error) {
      if (!isClosed(error) && !hasCode(error, Code.NotFound)) throw error;
      return this.#owner.lost();
    }
    await this.#owner.deleted(exit);
    return exit;
  }

  /** Let go of the connection; the task lives on. */
  disconnect(): void {
    this.#connection[Symbol.dispose]();
  }
}

/** ttrpc's own text for a connection that is gone, which containerd compares with, too. */
export function isClosed(error: unknown): boolean {
  return hasCode(error, Code.Unknown) && error instanceof Error && error.message === "ttrpc: closed";
}

function stateName(status: containerd.v1.types.Status): TaskState {
  const { Status } = containerd.v1.types;
  switch (status) {
    case Status.CREATED:
      return "created";
    case Status.RUNNING:
      return "running";
    case Status.STOPPED:
      return "stopped";
    case Status.PAUSED:
    case Status.PAUSING:
      return "paused";
    default:
      return "unknown";
  }
}

/** The task that was asked for, or NotFound with the next command to type. */
export function requireTask(id: string, task: Task | undefined): Task {
  if (task !== undefined) return task;
  throw new ManagerError(Code.NotFound, `container ${JSON.stringify(id)}: it is not running`, {
    hint: "trimaran ps -a",
  });
}
