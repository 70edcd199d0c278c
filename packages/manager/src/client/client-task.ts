import { ANY, containerd, fromTimestamp, inSpan, packAny } from "@trimaran/proto";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { exitLabels } from "../services/note-exit.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import type { OciProcess } from "../spec/oci-spec.ts";
import { isClosed } from "../tasks/closed-connection.ts";
import type { TaskIo } from "../tasks/task-io.ts";
import { readContainer } from "./find-container.ts";
import type { ManagerClient } from "./manager-client.ts";

/** What a process of a task is doing. */
export type ProcessState = "created" | "running" | "paused" | "stopped" | "unknown";

/** One process of a task. */
export interface ProcessStatus {
  readonly state: ProcessState;
  /** In the host's pid namespace. */
  readonly pid: number;
  readonly exit: ExitRecord | undefined;
}

const UNKNOWN_STATUS = 255;

/** The task of a container. `execId` "" is the container's first process. */
export class ClientTask {
  readonly id: string;
  readonly #client: ManagerClient;

  constructor(client: ManagerClient, id: string) {
    this.id = id;
    this.#client = client;
  }

  /** Undefined if the container has no task. */
  async status(execId = ""): Promise<ProcessStatus | undefined> {
    try {
      const { process } = await this.#tasks.get({ containerId: this.id, execId });
      return process === undefined ? undefined : toProcessStatus(process);
    } catch (error) {
      if (hasCode(error, Code.NotFound)) return undefined;
      throw error;
    }
  }

  /** The pid, in the host's pid namespace. */
  async start(execId = ""): Promise<number> {
    return (await inSpan("start", () => this.#tasks.start({ containerId: this.id, execId }))).pid;
  }

  /** Until the process has ended; may be asked before Start. If the shim dies meanwhile, what is noted of its end counts. */
  async wait(execId = ""): Promise<ExitRecord> {
    try {
      return toExit(await this.#tasks.wait({ containerId: this.id, execId }));
    } catch (error) {
      if (!isClosed(error) && !(await this.#isGone(error))) throw error;
      return this.#lost();
    }
  }

  /** Throws NotFound if it has exited. */
  async kill(signal: number, options: { readonly all?: boolean; readonly execId?: string } = {}): Promise<void> {
    const { all = false, execId = "" } = options;
    await this.#tasks.kill({ containerId: this.id, execId, signal, all });
  }

  /** Add a process; `start` then starts it. */
  async exec(execId: string, process: OciProcess, io: TaskIo): Promise<void> {
    const spec = packAny(ANY.ociProcess, Buffer.from(JSON.stringify(process)));
    await inSpan("add the exec", () => this.#tasks.exec({ containerId: this.id, execId, spec, ...io }));
  }

  /** Remove an exec that has ended or was never started. Waits for its output, within the shim's bound. */
  async deleteExec(execId: string): Promise<void> {
    await this.#tasks.deleteProcess({ containerId: this.id, execId });
  }

  async resize(size: { readonly columns: number; readonly rows: number }, execId = ""): Promise<void> {
    await this.#tasks.resizePty({ containerId: this.id, execId, width: size.columns, height: size.rows });
  }

  /** No more input will come. What was written before still arrives. */
  async closeStdin(execId = ""): Promise<void> {
    await this.#tasks.closeIO({ containerId: this.id, execId, stdin: true });
  }

  /** Freeze every process of the container. Fails unless it runs. */
  async pause(): Promise<void> {
    await this.#tasks.pause({ containerId: this.id });
  }

  async resume(): Promise<void> {
    await this.#tasks.resume({ containerId: this.id });
  }

  /** Host pids of all processes. */
  async pids(): Promise<number[]> {
    return (await this.#tasks.listPids({ containerId: this.id })).processes.map(({ pid }) => pid);
  }

  /** Delete the stopped task and note how it ended, unless nobody will ask. One that is gone already is success. */
  async delete(isNoted = true): Promise<void> {
    let exit: ExitRecord;
    try {
      exit = toExit(await this.#tasks.delete({ containerId: this.id }));
    } catch (error) {
      if (hasCode(error, Code.NotFound)) return;
      throw error;
    }
    if (!isNoted) return;
    const labels = exitLabels(exit);
    const paths = Object.keys(labels).map((key) => `labels.${key}`);
    await this.#client.services.containers
      .update({ container: { id: this.id, labels }, updateMask: { paths } })
      .catch((error: unknown) => {
        if (!hasCode(error, Code.NotFound)) throw error; // it is being removed
      });
  }

  get #tasks() {
    return this.#client.services.tasks;
  }

  /** Whether there was a task and there is none any more: somebody else has deleted it while we waited. */
  async #isGone(error: unknown): Promise<boolean> {
    return hasCode(error, Code.NotFound) && (await readContainer(this.#client, this.id))?.exit !== undefined;
  }

  /** The shim has died. Delete waits for whoever cleans up after it. */
  async #lost(): Promise<ExitRecord> {
    await this.delete();
    const exit = (await readContainer(this.#client, this.id))?.exit;
    const exitedAtMs = Date.parse(exit?.at ?? "");
    return {
      pid: 0,
      status: exit?.status ?? UNKNOWN_STATUS,
      exitedAtNs: BigInt(Number.isNaN(exitedAtMs) ? Date.now() : exitedAtMs) * 1_000_000n,
    };
  }
}

/** The task of a container that must have a live one, or NotFound with the next command to type. */
export async function requireTask(client: ManagerClient, id: string): Promise<ClientTask> {
  const task = new ClientTask(client, id);
  if ((await task.status()) !== undefined) return task;
  throw new ManagerError(Code.NotFound, `container ${JSON.stringify(id)}: it is not running`, {
    hint: "trimaran ps -a",
  });
}

/** From the answers of Get and List. */
export function toProcessStatus(process: containerd.v1.types.Process): ProcessStatus {
  const state = stateName(process.status);
  return { state, pid: process.pid, exit: state === "stopped" ? toExit(process) : undefined };
}

type Exited = Pick<containerd.v1.types.Process, "exitStatus" | "exitedAt"> & { readonly pid?: number };

function toExit({ pid = 0, exitStatus, exitedAt }: Exited): ExitRecord {
  return { pid, status: exitStatus, exitedAtNs: exitedAt === undefined ? 0n : fromTimestamp(exitedAt) };
}

function stateName(status: containerd.v1.types.Status): ProcessState {
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
