import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { type Bundle, bundleAt, readBootstrap } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, errnoOf, hasCode } from "../errors/manager-error.ts";
import { lockFile } from "../host/file-lock.ts";
import { pathExists } from "../host/path-exists.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import { ShimConnection } from "../shims/shim-connection.ts";
import { rootfsMounts } from "../snapshots/rootfs-mounts.ts";
import type { ContainerRecord, TaskIo } from "../stores/container-record.ts";
import { createTask, shutDown } from "../tasks/create-task.ts";
import { cleanUpShim, noteExit } from "../tasks/shim-process.ts";
import { isClosed, Task } from "../tasks/task.ts";
import type { TaskHost } from "../tasks/task-host.ts";
import { traced } from "../tasks/trace.ts";

const LOAD_TIMEOUT_MS = 5000;

/** The tasks of one namespace: made here, or found again from their bundles. */
export class Tasks {
  readonly #host: TaskHost;

  constructor(host: TaskHost) {
    this.#host = host;
  }

  /** Start a shim for the container and let it create the task. Throws AlreadyExists if it has one. */
  async create(
    record: ContainerRecord,
    configJson: string,
    io: TaskIo,
  ): Promise<{ readonly task: Task; readonly pid: number }> {
    await using _lock = await this.#lock(record.id);
    await this.#host.store.write({ ...record, io });
    const bundle = this.#bundle(record);
    const folder = this.#host.store.folder(record.id);
    const logPath = join(folder, "shim.log");
    const { connection, pid, log } = await createTask(this.#host, {
      bundle,
      runtime: record.runtime,
      configJson,
      rootfs: await rootfsMounts(record.rootfs, folder),
      io,
      log: (chunk) => appendFileSync(logPath, chunk, { mode: 0o600 }),
    });
    return { task: this.#task(record, bundle, connection, log), pid };
  }

  /**
   * The task of a container, over a new connection to its shim; undefined if it has none. A shim that is gone is cleaned up on
   * the way, and its exit noted.
   */
  async get(record: ContainerRecord): Promise<Task | undefined> {
    const bundle = this.#bundle(record);
    const connection = await this.#connect(bundle);
    if (connection === undefined) return this.#reap(record, bundle);
    await this.#host.serveEvents(); // what the shim could not deliver while nobody was there comes now
    return this.#task(record, bundle, connection);
  }

  /** Clean up after a shim that does not answer; its task, if it does after all. */
  async #reap(record: ContainerRecord, bundle: Bundle): Promise<Task | undefined> {
    if (!(await pathExists(bundle.path))) return undefined;
    await using _lock = await this.#lock(record.id); // another process may be between `start` and Create
    if (!(await pathExists(bundle.path))) return undefined; // or it was the one that cleaned up
    const connection = await this.#connect(bundle);
    if (connection !== undefined) return this.#task(record, bundle, connection);
    await noteExit(this.#host, record.id, await cleanUpShim(this.#host, bundle, record.runtime));
    return undefined;
  }

  /** Undefined if no shim is there (any more). */
  async #connect(bundle: Bundle): Promise<ShimConnection | undefined> {
    const endpoint = await readBootstrap(bundle, this.#host.syscalls);
    if (endpoint === undefined) return undefined;
    let connection: ShimConnection | undefined;
    try {
      connection = await ShimConnection.open(endpoint, bundle.namespace);
      await connection.task.connect({ id: bundle.id }, { timeoutMs: LOAD_TIMEOUT_MS });
      return connection;
    } catch (error) {
      connection?.[Symbol.dispose]();
      const errno = error instanceof Error ? errnoOf(error.cause) : undefined;
      const gone = errno === "ECONNREFUSED" || errno === "ENOENT" || isClosed(error) || hasCode(error, Code.NotFound);
      if (gone) return undefined;
      throw error;
    }
  }

  #task(record: ContainerRecord, bundle: Bundle, connection: ShimConnection, log?: Disposable): Task {
    let ended: Promise<ExitRecord> | undefined; // clean-up happens once, whoever asks first
    const finish = async (known: ExitRecord | undefined): Promise<ExitRecord> => {
      await using _lock = await this.#lock(record.id);
      await this.#host.serveEvents();
      if (known === undefined) connection[Symbol.dispose]();
      else await traced(this.#host.trace, "shutdown", () => shutDown(connection, record.id));
      const cleaned = await cleanUpShim(this.#host, bundle, record.runtime);
      const exit = known ?? cleaned;
      log?.[Symbol.dispose]();
      await noteExit(this.#host, record.id, exit);
      return exit;
    };
    return new Task(record.id, connection, {
      lost: () => {
        ended ??= finish(undefined);
        return ended;
      },
      deleted: async (exit) => {
        ended ??= finish(exit);
        await ended;
      },
    });
  }

  #bundle(record: ContainerRecord): Bundle {
    return bundleAt(this.#host.dirs, this.#host.namespace, parseIdentifier("id", record.id));
  }

  /** One process at a time makes or ends the task. A container that was removed meanwhile needs no lock. */
  async #lock(id: string): Promise<AsyncDisposable> {
    try {
      return await lockFile(join(this.#host.store.folder(id), "lock"), this.#host.syscalls());
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return { [Symbol.asyncDispose]: async () => {} };
      throw error;
    }
  }
}
