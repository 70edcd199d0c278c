import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Native, sealedCopy } from "@trimaran/linux";
import { type Launch, type MonitorLink, type MonitorServer, serveMonitors } from "@trimaran/monitor";
import { MonitoredProcess, type SyncRequest } from "@trimaran/shim-core";

/** A program to run, and who answers what it asks for. */
export interface PassingLaunch extends Launch {
  describe(step: number, errno: number): Error;
  onSync(sync: SyncRequest, process: MonitoredProcess): Promise<bigint>;
  /** A watched slot was readable. */
  onWatch?(): void;
}

const EINVAL = 22;
/** An hour: there is no other server to replace us by, however slow the machine is; and when we end, it ends. */
const PATIENCE_MS = 3_600_000;

/**
 * A monitor for as long as one command runs: it makes processes and ends, and they go to the next subreaper, who may wait for them (conmon
 * does). It has our standard streams, and ends by itself if we die.
 */
export class PassingMonitor implements AsyncDisposable {
  readonly #server: MonitorServer;
  readonly #child: ChildProcess;
  readonly #link: MonitorLink;
  readonly #exited: Promise<unknown>;
  readonly #launched = new Map<string, { readonly process: MonitoredProcess; readonly launch: PassingLaunch }>();

  private constructor(server: MonitorServer, child: ChildProcess, link: MonitorLink) {
    this.#server = server;
    this.#child = child;
    this.#link = link;
    this.#exited = child.exitCode === null && child.signalCode === null ? once(child, "exit") : Promise.resolve();
    link.onProcess = (report) => this.#launched.get(report.key)?.process.report(report);
    link.onSync = (sync) => void this.#answer(sync.key, sync);
    link.onWatch = (key) => this.#launched.get(key)?.launch.onWatch?.();
    link.onClose = () => {
      child.kill("SIGKILL"); // it would look for another server for ever, and we wait for its end
      for (const { process } of this.#launched.values()) process.lost(new Error("the monitor is gone"));
    };
  }

  /** Start one. It is executed from a sealed copy: what a container can reach of it, it cannot change. */
  static async open(native: Native, program: string): Promise<PassingMonitor> {
    const directory = mkdtempSync(join(tmpdir(), "trimaran-oci-"));
    const ready = Promise.withResolvers<MonitorLink>();
    const start = () => Promise.reject(new Error("nothing is started here"));
    const server = serveMonitors({ path: join(directory, "server.sock") }, { start, monitor: ready.resolve });
    const copy = sealedCopy(native, program, "trimaran-oci");
    const env = {
      TRIMARAN_MONITOR: "oci",
      TRIMARAN_DIR: directory,
      TRIMARAN_CMD: "/nonexistent",
      TRIMARAN_SHIM: "trimaran-oci",
      TRIMARAN_PATIENCE_MS: String(PATIENCE_MS),
    };
    const child = spawn(`/proc/${process.pid}/fd/${copy}`, [], {
      argv0: "trimaran-oci",
      env,
      stdio: ["inherit", "inherit", "inherit", "pipe"],
    });
    child.once("error", ready.reject);
    child.once("exit", (code) => ready.reject(new Error(`the monitor ended (${code})`)));
    try {
      const link = await ready.promise;
      return new PassingMonitor(server, child, link);
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    } finally {
      closeSync(copy);
      rmSync(directory, { recursive: true, force: true }); // it is connected: nothing is left behind however we end
    }
  }

  /** Run a program in a child. */
  launch(key: string, launch: PassingLaunch): MonitoredProcess {
    const process = new MonitoredProcess(this.#link, key, launch.describe);
    this.#launched.set(key, { process, launch });
    this.#link.spawn(key, launch);
    return process;
  }

  /** End it. Its children live on, as somebody else's. Twice is harmless. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#link.onClose = () => undefined;
    this.#link.exit();
    await this.#exited;
    this.#child.stdio[3]?.destroy();
    await this.#server[Symbol.asyncDispose]();
  }

  async #answer(key: string, sync: SyncRequest): Promise<void> {
    const known = this.#launched.get(key);
    try {
      if (known === undefined) throw new Error(`${key}: unknown`);
      this.#link.syncReply(key, 0, await known.launch.onSync(sync, known.process));
    } catch (error) {
      known?.process.lost(error instanceof Error ? error : new Error(String(error)));
      this.#link.syncReply(key, EINVAL, 0n);
    }
  }
}
