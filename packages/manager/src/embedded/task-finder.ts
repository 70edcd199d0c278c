import { type Bundle, bundleAt, listBundles, readBootstrap, readSandbox } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { eachLimited } from "../host/each-limited.ts";
import { pathExists } from "../host/path-exists.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import { ShimConnection } from "../shims/shim-connection.ts";
import { reconnectShim } from "../tasks/reconnect-shim.ts";
import { cleanUpShim } from "../tasks/shim-process.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import type { TaskRegistry } from "../tasks/task-registry.ts";

const ANSWER_TIMEOUT_MS = 5000;
/** Shims asked at a time. */
const PARALLEL = 16;
const NO_LOG: Disposable = { [Symbol.dispose]: () => {} };

/** Who hears of a task that has lost its shim. */
export interface LostTasks {
  runtimeOf(namespace: string, id: string): string | undefined;
  ended(bundle: Bundle, exit: ExitRecord): void;
}

/** Finds the tasks that other processes have made, by their bundles, when they are asked for. */
export class TaskFinder {
  readonly #host: ShimHost;
  readonly #registry: TaskRegistry;
  readonly #lost: LostTasks;

  constructor(host: ShimHost, registry: TaskRegistry, lost: LostTasks) {
    this.#host = host;
    this.#registry = registry;
    this.#lost = lost;
  }

  /** See to it that the registry knows a task if its shim lives. A shim that is gone is cleaned up, and the end of its task noted. */
  async find(namespace: string, id: string): Promise<void> {
    const bundle = bundleAt(this.#host.dirs, parseIdentifier("namespace", namespace), parseIdentifier("id", id));
    if (this.#registry.find(namespace, id) !== undefined || !(await pathExists(bundle.path))) return;
    const connection = await this.#connect(bundle);
    await this.#host.serveEvents(); // what the shim could not deliver while nobody was there comes now
    if (connection === undefined) await this.#settle(bundle);
    else await this.#adopt(bundle, connection);
  }

  /** The same for all tasks of a namespace. */
  async findAll(namespace: string): Promise<void> {
    const ids = await listBundles(this.#host.dirs, parseIdentifier("namespace", namespace));
    await eachLimited(PARALLEL, ids, (id) => this.find(namespace, id).catch(() => {})); // one silent shim must not hide the others
  }

  /** A shim that has its task; undefined for any other, which may be about to get it. */
  async #connect(bundle: Bundle): Promise<ShimConnection | undefined> {
    let connection: ShimConnection | undefined;
    try {
      const endpoint = await readBootstrap(bundle, this.#host.syscalls);
      if (endpoint === undefined) return undefined;
      connection = await ShimConnection.open(endpoint, bundle.namespace);
      await connection.task.state({ id: bundle.id }, { timeoutMs: ANSWER_TIMEOUT_MS });
      return connection;
    } catch {
      connection?.[Symbol.dispose]();
      return undefined;
    }
  }

  /** Another process may be between `start` and Create, or cleaning up: under the lock what is seen stays true. */
  async #settle(bundle: Bundle): Promise<void> {
    await using _lock = await this.#host.lockTask?.(bundle);
    if (!(await pathExists(bundle.path))) return;
    const connection = await reconnectShim(bundle, this.#host.syscalls);
    if (connection !== undefined) return this.#adopt(bundle, connection);
    const runtime = this.#lost.runtimeOf(bundle.namespace, bundle.id);
    await cleanUpShim(this.#host, bundle, runtime, (exit) => this.#lost.ended(bundle, exit));
  }

  /** Its log goes on to whoever has it: the process that has made the task, as long as that lives. */
  async #adopt(bundle: Bundle, connection: ShimConnection): Promise<void> {
    const sandbox = await readSandbox(bundle);
    if (this.#registry.find(bundle.namespace, bundle.id) === undefined) {
      this.#registry.adopt({ bundle, connection, log: NO_LOG, sandbox });
    } else connection[Symbol.dispose]();
  }
}
