import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type MonitorLink, type ProcessReport, type SyncReport, serveMonitors } from "@trimaran/monitor";
import { parseSpec } from "../../spec/spec.ts";
import { AT, O } from "../constants.ts";
import { compileExec } from "../exec.ts";
import { describeFailure } from "../failure.ts";
import { readHostFeatures } from "../host.ts";
import { compileInit } from "../init.ts";
import { SYNC_CODE } from "../opcodes.ts";
import type { ExecPlan, InitPlan, StdioPlan } from "../plan.ts";
import type { Program } from "../program.ts";
import { makeRootfs } from "./rootfs.ts";

const MONITOR = new URL("../../../../../build/monitor/monitor", import.meta.url).pathname;

/** How a program ended: the sentence of a step that failed, or the exit code, and what was written. */
export interface Outcome {
  readonly failure: string | undefined;
  /** 128 + signal if killed. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What the tests change in a plan. */
export type PlanChange = Partial<Omit<InitPlan, "spec" | "stdio">>;

/** Characters; both absent: the kernel's 0 × 0. */
export interface TerminalSize {
  readonly width?: number;
  readonly height?: number;
}

/** Changes a compiled program: fault injection. */
export type Patch = (program: Program) => Program;

/** A real monitor with this process as its task server, in a temporary folder that holds a busybox rootfs. */
export class TestPod implements AsyncDisposable {
  readonly folder: string;
  readonly bundle: string;
  readonly host = readHostFeatures();
  readonly #link: MonitorLink;
  readonly #monitor: ChildProcess;
  readonly #server: AsyncDisposable;
  readonly #waiting = new Set<() => void>();
  /** Answers SYNC instead of us: MAPPED writes the spec's maps, everything else is answered with 0. */
  onSync: ((sync: SyncReport, link: MonitorLink) => void) | undefined;
  #maps = (_: SyncReport, __: MonitorLink): void => undefined;
  #count = 0;

  private constructor(folder: string, link: MonitorLink, monitor: ChildProcess, server: AsyncDisposable) {
    this.folder = folder;
    this.bundle = join(folder, "bundle");
    this.#link = link;
    this.#monitor = monitor;
    this.#server = server;
    link.onProcess = () => {
      for (const wake of this.#waiting) wake();
    };
    link.onSync = (sync) => {
      if (this.onSync !== undefined && sync.code !== SYNC_CODE.MAPPED) return this.onSync(sync, link);
      this.#maps(sync, link);
      link.syncReply(sync.key, 0, 0n);
    };
  }

  /** Start a monitor. `base`: where its folder is. */
  static async open(base = tmpdir()): Promise<TestPod> {
    const folder = mkdtempSync(join(base, "launch-"));
    makeRootfs(join(folder, "bundle", "rootfs"));
    const ready = Promise.withResolvers<MonitorLink>();
    const refuse = () => Promise.reject(new Error("no starter here"));
    const server = serveMonitors({ path: join(folder, "server.sock") }, { start: refuse, monitor: ready.resolve });
    const env = {
      TRIMARAN_MONITOR: "test",
      TRIMARAN_DIR: folder,
      TRIMARAN_CMD: "/bin/false",
      TRIMARAN_SHIM: "launch-test",
    };
    const monitor = spawn(MONITOR, [], { env, stdio: ["ignore", "inherit", "inherit", "pipe"] });
    return new TestPod(folder, await ready.promise, monitor, server);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = new Promise((resolve) => this.#monitor.once("exit", resolve));
    this.#link.exit();
    await gone;
    await this.#server[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A fresh rootfs-relative path on the host. */
  path(...parts: readonly string[]): string {
    return join(this.bundle, "rootfs", ...parts);
  }

  /** Compile and spawn a container's init; `config` is config.json. */
  async create(
    config: unknown,
    change: PlanChange = {},
    terminal?: TerminalSize,
    patch: Patch = (program) => program,
  ): Promise<Running> {
    const key = `c${this.#count++}`;
    const spec = parseSpec(JSON.stringify(config));
    const stdio = terminal === undefined ? this.#files(key) : this.#terminal(key, terminal);
    const cgroup = { attachFiles: [], ownDirs: [] };
    const plan: InitPlan = {
      id: key,
      spec,
      bundle: this.bundle,
      rootfs: [],
      cgroup,
      host: this.host,
      ...change,
      stdio,
    };
    this.#mapFor(spec.linux);
    const program = patch(compileInit(plan));
    return this.#spawn(key, program, plan);
  }

  /** Another process in a running container. */
  async exec(container: Running, process: ExecPlan["process"], terminal?: TerminalSize): Promise<Running> {
    const key = `e${this.#count++}`;
    const stdio = terminal === undefined ? this.#files(key) : this.#terminal(key, terminal);
    const { spec, id, cgroup, host } = container.plan;
    const program = compileExec({ id, process, spec, init: { pid: container.pid }, stdio, cgroup, host });
    return this.#spawn(key, program, { ...container.plan, stdio });
  }

  async #spawn(key: string, program: Program, plan: InitPlan): Promise<Running> {
    const streams = plan.stdio.kind === "terminal" ? [{ from: 0, to: 1 }] : [];
    this.#link.spawn(key, { program: program.bytes, streams });
    const report = await this.until(key, ({ atGate, execed, failure }) => atGate || execed || failure !== undefined);
    return new Running(this, key, program, plan, report, this.#link);
  }

  /** The first report of `key` for which `done` holds. */
  async until(key: string, done: (report: ProcessReport) => boolean): Promise<ProcessReport> {
    for (;;) {
      const report = this.#link.processes.get(key);
      if (report !== undefined && done(report)) return report;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  #mapFor({ uidMappings, gidMappings }: InitPlan["spec"]["linux"]): void {
    const lines = (map: typeof uidMappings) => map.map((m) => `${m.containerId} ${m.hostId} ${m.size}`).join("\n");
    this.#maps = (sync, link) => {
      const pid = link.processes.get(sync.key)?.pid;
      if (sync.code === SYNC_CODE.MAPPED) {
        writeFileSync(`/proc/${pid}/uid_map`, lines(uidMappings));
        writeFileSync(`/proc/${pid}/gid_map`, lines(gidMappings));
      }
    };
  }

  #files(key: string): StdioPlan {
    const paths = ["/dev/null", this.outputPath(key, "stdout"), this.outputPath(key, "stderr")];
    return {
      kind: "slots",
      stdin: 0,
      stdout: 1,
      stderr: 2,
      prelude(b) {
        paths.forEach((path, slot) => {
          const flags = slot === 0 ? O.RDONLY : O.WRONLY | O.CREAT;
          const fd = b.call("openat", [AT.FDCWD, b.data.string(path), flags | O.CLOEXEC, 0o600]);
          b.op("KEEP", [fd, slot]);
          b.release(fd);
        });
      },
    };
  }

  #terminal(key: string, size: TerminalSize): StdioPlan {
    const path = this.outputPath(key, "stdout");
    return {
      ...size,
      kind: "terminal",
      slot: 0,
      prelude(b) {
        const fd = b.call("openat", [AT.FDCWD, b.data.string(path), O.WRONLY | O.CREAT | O.CLOEXEC, 0o600]);
        b.op("KEEP", [fd, 1]);
        b.release(fd);
      },
    };
  }

  /** The host's mount table, without what other tests mount in folders of their own. */
  hostMounts(): string {
    const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    return lines.filter((line) => !line.includes("/tmp/") || line.includes(this.folder)).join("\n");
  }

  /** Where a stream goes. */
  outputPath(key: string, stream: "stdout" | "stderr"): string {
    return join(this.folder, `${key}.${stream}`);
  }
}

/** A spawned program. */
export class Running {
  readonly pid: number;
  readonly plan: InitPlan;
  readonly program: Program;
  readonly #pod: TestPod;
  readonly #key: string;
  readonly #report: ProcessReport;
  readonly #link: MonitorLink;
  constructor(pod: TestPod, key: string, program: Program, plan: InitPlan, report: ProcessReport, link: MonitorLink) {
    this.#pod = pod;
    this.#key = key;
    this.program = program;
    this.plan = plan;
    this.pid = report.pid;
    this.#report = report;
    this.#link = link;
  }

  /** The sentence, if a step failed before exec. */
  get failure(): string | undefined {
    const { failure } = this.#report;
    return failure === undefined ? undefined : describeFailure(this.program, failure.step, failure.errno);
  }

  /** Open the gate and wait for exec. */
  async start(): Promise<void> {
    this.#link.openGate(this.#key);
    await this.#pod.until(this.#key, ({ execed, failure }) => execed || failure !== undefined);
  }

  /** SIGKILL, for containers that do not end by themselves. */
  kill(): void {
    process.kill(this.pid, "SIGKILL");
  }

  /** Start it if need be, wait for its end, forget it. */
  async end(): Promise<Outcome> {
    if (this.#report.failure === undefined) this.#link.openGate(this.#key);
    const report = await this.#pod.until(
      this.#key,
      ({ exit, failure, spawned }) => exit !== undefined || (failure !== undefined && !spawned),
    );
    if (this.plan.stdio.kind === "terminal") await this.#pod.until(this.#key, ({ drained }) => drained);
    this.#link.forget(this.#key);
    const status = report.exit?.waitStatus ?? 0;
    const { failure } = report;
    const read = (stream: "stdout" | "stderr") => {
      try {
        return readFileSync(this.#pod.outputPath(this.#key, stream), "utf8");
      } catch {
        return "";
      }
    };
    return {
      failure: failure === undefined ? undefined : describeFailure(this.program, failure.step, failure.errno),
      code: (status & 0x7f) === 0 ? status >> 8 : 128 + (status & 0x7f),
      stdout: read("stdout"),
      stderr: read("stderr"),
    };
  }
}
