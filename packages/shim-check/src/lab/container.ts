import { setTimeout as delay } from "node:timers/promises";
import { ANY, type containerd, type Init, packAny, taskV2, type taskV3 } from "@trimaran/proto";
import { type CallOptions, Code, type ServiceClient, StatusError } from "ttrpc-ts";
import type { Bundle } from "../bundle/bundle.ts";
import { ociProcess } from "../bundle/oci-spec.ts";
import type { Deleted, Shim } from "../shim/client.ts";
import { describe, describeError, Finding, NotOffered } from "./finding.ts";
import { until } from "./patience.ts";

export type Task = ServiceClient<typeof taskV2>;
/** The same methods under two names. */
export type TaskService = typeof taskV2 | typeof taskV3;

/** Where a process's streams lead to. */
export type Stdio = Pick<Init<containerd.task.v2.CreateTaskRequest>, "stdin" | "stdout" | "stderr" | "terminal">;

export const Status = { Created: 1, Running: 2, Stopped: 3, Paused: 4, Pausing: 5 } as const;

/** What a Container is made of. */
export interface ContainerParts {
  readonly bundle: Bundle;
  readonly shim: Shim;
  readonly service: TaskService;
  readonly task: Task;
  readonly limitMs: number;
  readonly journal: string[];
}

/** A container in a shim that has answered `start`, driven by the task service alone. */
export class Container {
  readonly id: string;
  readonly bundle: Bundle;
  readonly shim: Shim;
  readonly task: Task;
  /** From Create's answer. */
  pid = 0;
  /** The version that the shim serves. */
  readonly service: TaskService;
  readonly #limitMs: number;
  readonly #journal: string[];

  constructor(parts: ContainerParts) {
    this.id = parts.bundle.id;
    this.bundle = parts.bundle;
    this.shim = parts.shim;
    this.service = parts.service;
    this.task = parts.task;
    this.#limitMs = parts.limitMs;
    this.#journal = parts.journal;
  }

  /** Create, with the bundle's mounts where no others are given. */
  async create(more: Init<containerd.task.v2.CreateTaskRequest> = {}): Promise<this> {
    const request = { id: this.id, bundle: this.bundle.path, rootfs: this.bundle.mounts, ...more };
    this.pid = (await this.task.create(request)).pid;
    return this;
  }

  async start(): Promise<this> {
    await this.task.start({ id: this.id });
    return this;
  }

  /** Exec and Start; returns the pid. */
  async exec(execId: string, script: string, stdio: Stdio = {}): Promise<number> {
    await this.addExec(execId, script, stdio);
    return (await this.task.start({ id: this.id, execId })).pid;
  }

  async addExec(execId: string, script: string, stdio: Stdio = {}): Promise<void> {
    const args = ["sh", "-c", script];
    const process = ociProcess(args, stdio.terminal === true);
    const spec = packAny(ANY.ociProcess, Buffer.from(JSON.stringify(process)));
    await this.task.exec({ id: this.id, execId, spec, ...stdio });
  }

  async state(execId = ""): Promise<containerd.task.v2.StateResponse> {
    return await this.task.state({ id: this.id, execId });
  }

  async wait(execId = ""): Promise<containerd.task.v2.WaitResponse> {
    return await this.task.wait({ id: this.id, execId });
  }

  /** Until State says so. */
  async reaches(status: number, execId = ""): Promise<void> {
    let last = 0;
    const ask = async () => {
      last = (await this.state(execId)).status;
      return last === status || undefined;
    };
    await until(`State with status ${status}`, ask, this.#limitMs, () => `status ${last}`);
  }

  /** Kill 9 and Wait: the exit status. */
  async kill(execId = ""): Promise<number> {
    await this.task.kill({ id: this.id, execId, signal: 9 });
    return (await this.wait(execId)).exitStatus;
  }

  /** Delete of an exited init, then what containerd does with a shim that has no task left: Shutdown, close, `delete`. */
  async remove(): Promise<containerd.task.v2.DeleteResponse> {
    const deleted = await this.task.delete({ id: this.id });
    await this.shutDown();
    return deleted;
  }

  /**
   * Take away a container in whatever state it is, without a word about how that went: what a check leaves is looked at afterwards. Calls
   * that don't answer are not waited for long.
   */
  async finish(): Promise<void> {
    if (this.shim.isClosed) return;
    const { id } = this;
    const limit = { timeoutMs: FINISH_MS };
    const quietly = (call: Promise<unknown>) => call.catch(() => undefined);
    const remaining = { timeoutMs: DRAIN_MS };
    if (!(await isTold(this.task.delete({ id }, remaining)))) {
      await quietly(this.task.kill({ id, signal: 9, all: true }, limit));
      await quietly(this.task.wait({ id }, limit));
      await quietly(this.task.delete({ id }, remaining));
    }
    await quietly(this.task.shutdown({ id }, limit));
    this.#journal.push("close", "delete (the command)");
    await quietly(this.shim.close());
  }

  /** Shutdown, close, `delete`. The shim may be gone before its answer. */
  async shutDown(): Promise<Deleted> {
    await this.task.shutdown({ id: this.id }).catch((error: unknown) => {
      if (!(error instanceof StatusError && error.message === "ttrpc: closed")) throw error;
    });
    this.#journal.push("close", "delete (the command)");
    return await this.shim.close();
  }

  /** Kill, Wait, Delete, Shutdown, close, `delete`: the whole end of a running one. */
  async end(): Promise<containerd.task.v2.DeleteResponse> {
    await this.kill();
    return await this.remove();
  }

  /** A moment in which what must not happen could happen. */
  async moment(ms = 300): Promise<void> {
    await delay(ms);
  }
}

const FINISH_MS = 3_000;
/** What upstream allows itself at most in Delete for output that is still on its way (10 s), and some time. */
export const DRAIN_MS = 14_000;

async function isTold(call: Promise<unknown>): Promise<boolean> {
  return await call.then(
    () => true,
    () => false,
  );
}

/** Methods whose code 12 would make containerd 2.x speak an older version: it may not stand for "not offered". */
const NEVER_UNIMPLEMENTED = new Set(["create", "connect"]);

/**
 * A task service that writes down each call for the report, gives each a time limit, and turns code 12 of what a shim need not have into
 * NotOffered.
 */
export function observed(task: Task, journal: string[], limitMs: number): Task {
  const methods = Object.keys(taskV2.methods) as (keyof Task)[];
  const entries = methods.map((name) => {
    const call = task[name] as (request: object, options?: CallOptions) => Promise<unknown>;
    const shown = name[0]?.toUpperCase() + name.slice(1);
    const timeoutMs = name === "delete" ? Math.max(limitMs, DRAIN_MS) : limitMs;
    const observedCall = async (request: object, options: CallOptions = {}) => {
      const at = journal.push(`${shown}${brief(request)}`) - 1;
      try {
        const answer = await call(request, { timeoutMs, ...options });
        journal[at] += ` = ${describe(answer)}`;
        return answer;
      } catch (error) {
        journal[at] += ` = ${describeError(error)}`;
        if (error instanceof StatusError && error.code === Code.Unimplemented) {
          if (NEVER_UNIMPLEMENTED.has(name)) throw new Finding(`${shown} with any code but 12`, describeError(error));
          throw new NotOffered(`${shown} answers ${describeError(error)}`);
        }
        throw error;
      }
    };
    const unhurt = (request: object, options?: CallOptions) => {
      const answer = observedCall(request, options);
      answer.catch(() => undefined); // a check may have failed before it looks at this one
      return answer;
    };
    return [name, unhurt];
  });
  return Object.fromEntries(entries) as Task;
}

/** The short fields of a request, without its id. */
function brief(request: object): string {
  const { id: _id, ...rest } = request as Readonly<Record<string, unknown>>;
  const shown = Object.entries(rest).filter(([, value]) => value !== "" && typeof value !== "object");
  const text = shown.map(([name, value]) => `${name} ${describe(value)}`).join(", ");
  return text === "" ? "" : `(${text})`;
}
