import { type Bundle, deleteBundle } from "../bundles/bundle.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { ShimEvent } from "../events/event-exchange.ts";
import { Lanes } from "../host/lanes.ts";
import { pathExists } from "../host/path-exists.ts";
import { type ExitRecord, toExitRecord } from "../shims/delete-shim.ts";
import type { ShimConnection } from "../shims/shim-connection.ts";
import { isClosed } from "./closed-connection.ts";
import { createTask, type NewTask, shutDown } from "./create-task.ts";
import { lostTaskEvents } from "./lost-task-events.ts";
import { cleanUpShim } from "./shim-process.ts";
import { inStep } from "./step-error.ts";
import type { ShimHost } from "./task-host.ts";
import { traced } from "./trace.ts";

const UNKNOWN_END: ExitRecord = { pid: 0, status: 255, exitedAtNs: 0n };

/** A task on record: its shim is connected, or was until a moment ago. */
export interface RunningTask {
  readonly bundle: Bundle;
  readonly connection: ShimConnection;
  /** The copying of the shim's log. */
  readonly log: Disposable;
  /** Id of the sandbox whose shim it shares; undefined if the shim is its own. */
  readonly sandbox: string | undefined;
}

/** Who hears of what the registry itself has to say. */
export interface TaskListener {
  /** Of a task whose shim has died; while a shim lives it publishes its events itself. */
  publish(event: ShimEvent): void;
  /** How a task ended whose shim has died: nobody can ask the shim any more. */
  lost(bundle: Bundle, exit: ExitRecord): void;
  /** Cleaning up after a shim has failed. */
  failed(message: string, bundle: Bundle, error: unknown): void;
}

/**
 * The tasks of all namespaces, by (namespace, id). Each owns one connection to its shim; when that closes the shim is cleaned up,
 * the end published, and the task forgotten. Making, deleting and cleaning up one id never overlap.
 */
export class TaskRegistry implements Disposable {
  readonly #host: ShimHost;
  readonly #listener: TaskListener;
  readonly #tasks = new Map<string, RunningTask>();
  readonly #lanes = new Lanes();
  /** Cleaned up by whoever deletes it, or let go: the closing of its connection says nothing new. */
  readonly #released = new WeakSet<RunningTask>();
  /** Their sandbox is being shut down: its shim tells of their end before it goes. */
  readonly #ending = new WeakSet<RunningTask>();

  constructor(host: ShimHost, listener: TaskListener) {
    this.#host = host;
    this.#listener = listener;
  }

  find(namespace: string, id: string): RunningTask | undefined {
    return this.#tasks.get(keyOf({ namespace, id }));
  }

  /** In no order that matters. */
  list(namespace: string): RunningTask[] {
    return [...this.#tasks.values()].filter(({ bundle }) => bundle.namespace === namespace);
  }

  /** Start a shim and let it create the task; the pid. Throws AlreadyExists, StepError. */
  create(task: NewTask): Promise<number> {
    const { bundle } = task;
    return this.#alone(bundle, async () => {
      if (this.#tasks.has(keyOf(bundle))) {
        throw new ManagerError(Code.AlreadyExists, `task ${bundle.id}: already exists`);
      }
      const { connection, pid, log } = await createTask(this.#host, task);
      this.adopt({ bundle, connection, log, sandbox: task.sandbox?.id });
      return pid;
    });
  }

  /** Put a task on record whose shim was found alive. */
  adopt(task: RunningTask): void {
    this.#tasks.set(keyOf(task.bundle), task);
    void task.connection.closed.then(() => this.#closed(task));
  }

  /**
   * Delete a stopped task, end its shim, remove its bundle. Throws NotFound if there is no task (any more), StepError with the
   * shim's code if it refuses. If the shim dies over it, the answer is what its `delete` command says.
   */
  delete(namespace: string, id: string): Promise<ExitRecord> {
    const key = keyOf({ namespace, id });
    const known = this.#tasks.get(key);
    if (known === undefined) return Promise.reject(new ManagerError(Code.NotFound, `task ${id} not found`));
    return this.#alone(known.bundle, async () => {
      const task = this.#tasks.get(key);
      if (task === undefined) throw new ManagerError(Code.NotFound, `task ${id} not found`);
      const answer = await inStep("delete task", () => task.connection.task.delete({ id })).catch((error: unknown) => {
        if (isClosed(error)) return "closed" as const;
        if (hasCode(error, Code.NotFound)) return "unknown" as const; // a shim without its task is of no use to anybody
        throw error;
      });
      if (answer === "closed") return this.#lost(task);
      this.#tasks.delete(key);
      this.#released.add(task);
      await this.#end(task);
      if (answer === "unknown") throw new ManagerError(Code.NotFound, `task ${id} not found`);
      return toExitRecord(answer);
    });
  }

  /** Shut a sandbox down, and its tasks with it; if that fails they stay what they were. */
  async endSandbox(namespace: string, sandbox: string, shutDownSandbox: () => Promise<void>): Promise<void> {
    const tasks = this.list(namespace).filter((task) => task.sandbox === sandbox);
    for (const task of tasks) this.#ending.add(task);
    try {
      await shutDownSandbox();
    } catch (error) {
      for (const task of tasks) this.#ending.delete(task);
      throw error;
    }
  }

  /** Of all namespaces. */
  get size(): number {
    return this.#tasks.size;
  }

  /** Let go of all shims; tasks live on. */
  [Symbol.dispose](): void {
    for (const task of this.#tasks.values()) {
      this.#released.add(task);
      task.connection[Symbol.dispose]();
      task.log[Symbol.dispose]();
    }
    this.#tasks.clear();
  }

  /** One thing at a time per task, in this process and, where there are others, in those. */
  #alone<T>(bundle: Bundle, work: () => Promise<T>): Promise<T> {
    return this.#lanes.run(keyOf(bundle), async () => {
      await using _lock = await this.#host.lockTask?.(bundle);
      return await work(); // not before it is done may the lock go
    });
  }

  async #closed(task: RunningTask): Promise<void> {
    if (this.#released.has(task)) return;
    try {
      await this.#alone(task.bundle, async () => {
        if (!this.#released.has(task)) await this.#lost(task);
      });
    } catch (error) {
      this.#listener.failed("cannot clean up after a shim", task.bundle, error);
    }
  }

  /** The shim has died: what it can't tell any more is told for it. */
  async #lost(task: RunningTask): Promise<ExitRecord> {
    this.#released.add(task);
    try {
      if (await this.#isCleanedUp(task.bundle)) return UNKNOWN_END;
      const exit = await this.#cleanUp(task, (end) => this.#listener.lost(task.bundle, end));
      const untold = this.#ending.has(task) ? [] : lostTaskEvents(task.bundle, exit);
      for (const event of untold) this.#listener.publish(event);
      return exit;
    } finally {
      this.#tasks.delete(keyOf(task.bundle));
    }
  }

  /** Of a task that its shim has deleted: the shim goes with it, unless it is its pod's. Then there is nothing left for `delete`. */
  async #end(task: RunningTask): Promise<void> {
    if (task.sandbox === undefined) {
      await traced(this.#host.trace, "shutdown", () => shutDown(task.connection, task.bundle.id));
      await this.#cleanUp(task);
      return;
    }
    task.connection[Symbol.dispose]();
    task.log[Symbol.dispose]();
    await deleteBundle(task.bundle, this.#host.syscalls());
  }

  /** By another process, which has told how the task ended. */
  async #isCleanedUp(bundle: Bundle): Promise<boolean> {
    return this.#host.lockTask !== undefined && !(await pathExists(bundle.path));
  }

  async #cleanUp({ bundle, log }: RunningTask, ended?: (exit: ExitRecord) => void): Promise<ExitRecord> {
    try {
      return await cleanUpShim(this.#host, bundle, undefined, ended);
    } finally {
      log[Symbol.dispose]();
    }
  }
}

function keyOf({ namespace, id }: { readonly namespace: string; readonly id: string }): string {
  return `${namespace}/${id}`; // neither can have a slash
}
