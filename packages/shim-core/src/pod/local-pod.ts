import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, unlinkSync } from "node:fs";
import { lazyNative } from "@trimaran/linux";
import { type MonitorLink, type MonitorServer, serveMonitors } from "@trimaran/monitor";
import { taskV2, taskV3 } from "@trimaran/proto";
import { Client, type FrameChannel, memoryChannels, Server, type ServiceClient } from "ttrpc-ts";
import type { Logger } from "../log.ts";
import type { Runtime } from "../runtime.ts";
import { type Connection, type TaskService, taskService } from "../task/service.ts";
import { toStatus } from "../to-status.ts";
import { encodeIdentity, type PodIdentity } from "./identity.ts";
import { OwnNotebook } from "./notebook.ts";
import { Pod } from "./pod.ts";

// asm-generic: socket.h
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
/** The daemon's name in its environment and in the way that it finds its server. */
const SHIM = "trimaran-local";
/** There is no other server that the monitor could turn to, and under emulation this one may need long for a turn of its loop. */
const PATIENCE_MS = 120_000;

/** What a pod needs that is served by the program that made it. */
export interface LocalPodOptions {
  readonly runtime: Runtime;
  readonly log: Logger;
  /** The monitor's binary. */
  readonly monitor: string;
  /** A directory of its own, 0700, for sockets; short, because a socket's path is. */
  readonly directory: string;
  readonly cacheDirectory: string;
  readonly namespace: string;
  /** Gets each event, an encoded Envelope, in order. */
  readonly onEvent: (envelope: Uint8Array) => void;
  /** The monitor has ended: so have all its processes, for us. */
  readonly onEnd: () => void;
}

/**
 * One pod in a program of its own: task service and monitor, without containerd, starters or a task server that comes and goes. It lives
 * as long as the program. The guest's agent is one.
 */
export class LocalPod implements AsyncDisposable {
  /** With the task service; other services may be registered. */
  readonly server = new Server<Connection>({ toStatus });
  readonly #options: LocalPodOptions;
  readonly #identity: PodIdentity;
  readonly #notebook = new OwnNotebook();
  readonly #monitors: MonitorServer;
  readonly #process: ChildProcess;
  readonly #arrived = Promise.withResolvers<void>();
  #pod: Pod | undefined;
  #connections = 0;
  /** How often the monitor has connected. */
  #generation = 0;
  #inside: Client | undefined;

  private constructor(options: LocalPodOptions) {
    this.#options = options;
    this.#identity = identityOf(options);
    for (const service of [taskV2, taskV3]) this.server.register<TaskService>(service, taskService);
    this.#monitors = serveMonitors(
      { path: `${options.directory}/server.sock` },
      {
        start: () => Promise.reject(new Error("this pod starts no others")),
        monitor: (link) => this.#linked(link),
      },
    );
    this.#process = startMonitor(options, this.#identity);
    this.#process.once("error", this.#arrived.reject);
    this.#process.once("exit", (code, signal) => {
      this.#arrived.reject(new Error(`the monitor ended: ${signal ?? code}`));
      options.onEnd();
    });
  }

  /** Throws before the monitor's first word. */
  get pod(): Pod {
    if (this.#pod) return this.#pod;
    throw new Error("the pod's monitor has not come yet");
  }

  /** Start the monitor, and wait for it. Rejects where it can't be started. */
  static async open(options: LocalPodOptions): Promise<LocalPod> {
    const pod = new LocalPod(options);
    try {
      await pod.#arrived.promise;
      return pod;
    } catch (error) {
      await pod.#monitors.close();
      throw error;
    }
  }

  /** Serve tasks, and what else is registered, to whoever is at the other end. */
  serve(channel: FrameChannel): void {
    const local = this;
    const data: Connection = {
      conn: ++this.#connections,
      replayed: new Set(),
      get pod() {
        return local.pod;
      },
    };
    this.server.serve(channel, data);
  }

  /** Call the task service from within. Where the monitor has connected anew meanwhile, the call is made again: the first one would wait for ever. */
  async call<T>(make: (tasks: ServiceClient<typeof taskV3>) => Promise<T>): Promise<T> {
    for (;;) {
      const generation = this.#generation;
      this.#inside ??= this.#connect();
      try {
        return await make(this.#inside.service(taskV3));
      } catch (error) {
        if (generation === this.#generation) throw error;
      }
    }
  }

  #connect(): Client {
    const [ours, theirs] = memoryChannels();
    this.serve(theirs);
    return new Client(ours);
  }

  /** Again, where this program was so slow that its monitor has given its connection up. */
  #linked(link: MonitorLink): void {
    const { runtime, log, cacheDirectory, onEvent } = this.#options;
    this.#generation++;
    this.#inside?.close();
    this.#inside = undefined;
    const forward = () => async (envelope: Uint8Array) => onEvent(envelope);
    const pod = new Pod(
      { runtime, server: this.server, log, cacheDirectory, forward, isOwned: true, notebook: this.#notebook },
      link,
      this.#identity,
    );
    link.onClose = () => pod.close();
    this.#pod = pod;
    this.#arrived.resolve();
  }

  /** End the monitor. What it runs is left to whoever adopts it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const hasEnded = this.#process.exitCode !== null || this.#process.signalCode !== null;
    const ended = hasEnded ? undefined : once(this.#process, "exit");
    this.#process.kill();
    await ended;
    this.#inside?.close();
    await this.#monitors.close();
  }
}

function identityOf({ namespace, directory }: LocalPodOptions): PodIdentity {
  const socket = `${directory}/monitor.sock`;
  return { id: "", group: "", namespace, bundle: "", socket, ttrpcAddress: "", debug: false, options: [] };
}

/** As a serve program does: see PROTOCOL.md, section 2. */
function startMonitor(options: LocalPodOptions, identity: PodIdentity): ChildProcess {
  const listener = listen(identity.socket);
  const env = {
    PATH: "/usr/sbin:/usr/bin:/sbin:/bin",
    TRIMARAN_MONITOR: encodeIdentity(identity),
    TRIMARAN_STATE: options.directory,
    TRIMARAN_DIR: options.directory,
    TRIMARAN_CMD: `${options.directory}/nothing.cmd`, // nobody else can serve it
    TRIMARAN_SHIM: SHIM,
    TRIMARAN_ADDRESS: "",
    TRIMARAN_NAMESPACE: options.namespace,
    TRIMARAN_PATIENCE_MS: String(PATIENCE_MS),
  };
  try {
    return spawn(options.monitor, ["-namespace", options.namespace], {
      env,
      cwd: "/",
      stdio: ["ignore", "ignore", "inherit", listener],
    });
  } finally {
    closeSync(listener);
  }
}

/** The socket that a monitor wants. Its frames come another way here, so its name goes at once. */
function listen(path: string): number {
  const native = lazyNative();
  const listener = native.check("socket", [AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0]);
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  native.check("bind", [listener, address, address.length], path);
  native.check("listen", [listener, 1], path);
  unlinkSync(path);
  return listener;
}
