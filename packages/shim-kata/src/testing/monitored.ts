/** A real monitor with this process as its task server: a `Host` to launch programs with. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MonitorLink, serveMonitors } from "@trimaran/monitor";
import { Host, Logger } from "@trimaran/shim-core";

const MONITOR = join(import.meta.dirname, "../../../../build/monitor/monitor");

/** Open with `await using`. */
export class Monitored implements AsyncDisposable {
  readonly folder: string;
  readonly monitor: ChildProcess;
  host: Host;
  readonly #link: MonitorLink;
  readonly #server: AsyncDisposable;

  private constructor(folder: string, monitor: ChildProcess, link: MonitorLink, server: AsyncDisposable) {
    this.folder = folder;
    this.monitor = monitor;
    this.#link = link;
    this.#server = server;
    this.host = this.restart();
  }

  static async open(): Promise<Monitored> {
    const folder = mkdtempSync(join(tmpdir(), "kata-"));
    const ready = Promise.withResolvers<MonitorLink>();
    const start = () => Promise.reject(new Error("no starter here"));
    const server = serveMonitors({ path: join(folder, "server.sock") }, { start, monitor: ready.resolve });
    const env = {
      TRIMARAN_MONITOR: "test",
      TRIMARAN_DIR: folder,
      TRIMARAN_CMD: "/bin/false",
      TRIMARAN_SHIM: "kata-test",
    };
    const monitor = spawn(MONITOR, [], { env, stdio: ["ignore", "inherit", "inherit", "pipe"] });
    return new Monitored(folder, monitor, await ready.promise, server);
  }

  /** What another task server would have: the same monitor, and nothing remembered. */
  restart(): Host {
    const link = this.#link;
    const identity = {
      id: "pod",
      group: "pod",
      namespace: "tests",
      bundle: "/none",
      socket: "/none",
      ttrpcAddress: "",
    };
    const host = new Host({
      link,
      log: new Logger(() => undefined),
      cacheDirectory: this.folder,
      identity: { ...identity, debug: false, options: [] },
    });
    link.onProcess = (report) => host.dispatch.process(report.key)?.report(report);
    this.host = host;
    return host;
  }

  /** SIGKILL, and what the monitor leaves behind. */
  async kill(): Promise<void> {
    if (this.monitor.exitCode !== null || this.monitor.signalCode !== null) return;
    const gone = once(this.monitor, "exit");
    this.monitor.kill("SIGKILL");
    await gone;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
