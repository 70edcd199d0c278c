import type { google } from "@trimaran/proto";
import { type Bundle, bundleAt, createBundle, readShimBinary } from "../bundles/bundle.ts";
import type { Identifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { Lanes } from "../host/lanes.ts";
import { pathExists } from "../host/path-exists.ts";
import type { ExitRecord } from "../shims/delete-shim.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import type { ShimConnection } from "../shims/shim-connection.ts";
import { type LogSink, openShimLog } from "../shims/shim-log.ts";
import { openShim, type SharedShim } from "../tasks/create-task.ts";
import { cleanUpShim } from "../tasks/shim-process.ts";
import { inStep } from "../tasks/step-error.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { reconnectSandbox } from "./reconnect-sandbox.ts";

const UNDO_TIMEOUT_MS = 5000;

/** A sandbox whose shim is connected, or was until a moment ago. */
export interface RunningSandbox {
  readonly bundle: Bundle;
  readonly connection: ShimConnection;
  /** The copying of the shim's log. */
  readonly log: Disposable;
}

/** A sandbox to be made. */
export interface NewSandbox {
  readonly namespace: Identifier;
  readonly id: Identifier;
  /** a.b.NAME.VERSION or an absolute path. */
  readonly runtime: string;
  /** The runtime's options: on stdin of `start`. */
  readonly options: google.protobuf.Any | undefined;
  /** Becomes config.json as it is, if there is one. */
  readonly configJson: Uint8Array | undefined;
  /** CreateSandbox, on the new shim; if it throws, the shim is ended again. */
  readonly create: (running: RunningSandbox) => Promise<void>;
  readonly signal: AbortSignal;
}

/** Who hears of what the registry itself has to say. */
export interface SandboxListener {
  logOf(bundle: Bundle): LogSink;
  /** A sandbox has lost its shim; `exit` is what the shim's `delete` command says. */
  lost(bundle: Bundle, exit: ExitRecord): void;
  /** Cleaning up after a shim has failed. */
  failed(message: string, bundle: Bundle, error: unknown): void;
}

/**
 * The sandboxes of all namespaces that run, by (namespace, id): a shim each, and a connection to it. When that closes the shim is
 * cleaned up and the sandbox forgotten; its record is the store's. Making, ending and cleaning up one id never overlap.
 */
export class SandboxRegistry implements Disposable {
  readonly #host: ShimHost;
  readonly #listener: SandboxListener;
  readonly #sandboxes = new Map<string, RunningSandbox>();
  readonly #lanes = new Lanes();
  /** Ended by whoever asked for it, or let go: the closing of its connection says nothing new. */
  readonly #released = new WeakSet<RunningSandbox>();

  constructor(host: ShimHost, listener: SandboxListener) {
    this.#host = host;
    this.#listener = listener;
  }

  /** Whether it is known to run, without looking for it. */
  has(namespace: string, id: string): boolean {
    return this.#sandboxes.has(`${namespace}/${id}`);
  }

  /** A sandbox that runs, also one that another process has made. */
  async find(namespace: Identifier, id: Identifier): Promise<RunningSandbox | undefined> {
    const bundle = bundleAt(this.#host.dirs, namespace, id, "sandbox");
    const known = this.#known(bundle);
    if (known !== undefined || !(await pathExists(bundle.path))) return known;
    return this.#alone(bundle, () => this.#recover(bundle));
  }

  /** The shim of a sandbox, for a task to join. */
  async sharedShim(namespace: Identifier, id: Identifier): Promise<SharedShim | undefined> {
    const running = await this.find(namespace, id);
    const binary = running && (await readShimBinary(running.bundle));
    return running && binary !== undefined ? { id, endpoint: running.connection.endpoint, binary } : undefined;
  }

  /** Start a shim and let it make the sandbox. Throws AlreadyExists, StepError, and whatever `create` throws. */
  create(wanted: NewSandbox): Promise<void> {
    const bundle = bundleAt(this.#host.dirs, wanted.namespace, wanted.id, "sandbox");
    return this.#alone(bundle, async () => {
      if ((await this.#recover(bundle)) !== undefined) {
        throw new ManagerError(Code.AlreadyExists, `sandbox ${wanted.id} already running`);
      }
      const running = await this.#start(bundle, wanted);
      try {
        await wanted.create(running);
      } catch (error) {
        this.#released.add(running);
        await this.#end(running).catch(() => {}); // the first error is the one to tell
        throw error;
      }
      this.#adopt(running);
    });
  }

  /** ShutdownSandbox has been answered, or nothing else can be done: close, run `delete`, remove the bundle. */
  remove(running: RunningSandbox): Promise<void> {
    return this.#alone(running.bundle, async () => {
      if (this.#released.has(running)) return;
      this.#released.add(running);
      this.#sandboxes.delete(keyOf(running.bundle));
      await this.#cleanUp(running);
    });
  }

  /** Let go of all shims; sandboxes live on. */
  [Symbol.dispose](): void {
    for (const running of this.#sandboxes.values()) {
      this.#released.add(running);
      running.connection[Symbol.dispose]();
      running.log[Symbol.dispose]();
    }
    this.#sandboxes.clear();
  }

  #known(bundle: Bundle): RunningSandbox | undefined {
    return this.#sandboxes.get(keyOf(bundle));
  }

  /** The sandbox of a bundle that is there. A shim that is gone is cleaned up. */
  async #recover(bundle: Bundle): Promise<RunningSandbox | undefined> {
    const known = this.#known(bundle);
    if (known !== undefined || !(await pathExists(bundle.path))) return known;
    const connection = await reconnectSandbox(bundle, this.#host.syscalls);
    if (connection === undefined) {
      const exit = await cleanUpShim(this.#host, bundle, undefined);
      this.#listener.lost(bundle, exit);
      return undefined;
    }
    return this.#adopt({ bundle, connection, log: openShimLog(bundle, this.#listener.logOf(bundle)) });
  }

  async #start(bundle: Bundle, { runtime, options, configJson, signal }: NewSandbox): Promise<RunningSandbox> {
    const binary = await inStep("start shim", () => findShimBinary(runtime, this.#host.shimDirectories));
    await this.#host.serveEvents();
    await createBundle(bundle, configJson, this.#host.syscalls());
    const log = openShimLog(bundle, this.#listener.logOf(bundle));
    try {
      const connection = await inStep("start shim", () => openShim(this.#host, { bundle, options, signal }, binary));
      return { bundle, connection, log };
    } catch (error) {
      await cleanUpShim(this.#host, bundle, runtime).catch(() => {}); // the first error is the one to tell
      log[Symbol.dispose]();
      throw error;
    }
  }

  #adopt(running: RunningSandbox): RunningSandbox {
    this.#sandboxes.set(keyOf(running.bundle), running);
    void running.connection.closed.then(() => this.#closed(running));
    return running;
  }

  async #closed(running: RunningSandbox): Promise<void> {
    if (this.#released.has(running)) return;
    try {
      await this.#alone(running.bundle, async () => {
        if (this.#released.has(running)) return;
        this.#released.add(running);
        this.#sandboxes.delete(keyOf(running.bundle));
        this.#listener.lost(running.bundle, await this.#cleanUp(running));
      });
    } catch (error) {
      this.#listener.failed("cannot clean up after a sandbox's shim", running.bundle, error);
    }
  }

  async #end(running: RunningSandbox): Promise<void> {
    const { bundle, connection } = running;
    await connection.sandbox.shutdownSandbox({ sandboxId: bundle.id }, { timeoutMs: UNDO_TIMEOUT_MS }).catch(() => {});
    await this.#cleanUp(running);
  }

  async #cleanUp({ bundle, connection, log }: RunningSandbox): Promise<ExitRecord> {
    connection[Symbol.dispose]();
    try {
      return await cleanUpShim(this.#host, bundle, undefined);
    } finally {
      log[Symbol.dispose]();
    }
  }

  /** One thing at a time per sandbox, in this process and, where there are others, in those. */
  #alone<T>(bundle: Bundle, work: () => Promise<T>): Promise<T> {
    return this.#lanes.run(keyOf(bundle), async () => {
      await using _lock = await this.#host.lockTask?.(bundle);
      return await work();
    });
  }
}

function keyOf({ namespace, id }: Bundle): string {
  return `${namespace}/${id}`; // neither can have a slash
}
