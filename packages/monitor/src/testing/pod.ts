/** A real monitor (any build of the C program), started the way containerd starts it, against a task server in this process or in another. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { MonitorLink, ProcessReport } from "../monitor-link.ts";
import { type MonitorServer, type StartAnswer, type StartRequest, serveMonitors } from "../server.ts";
import { serveProgram } from "./program.ts";
import { Client } from "./ttrpc.ts";

const ROOT = join(import.meta.dirname, "../../../..");
export const OUT = process.env.MONITOR_OUT ?? join(ROOT, "build/monitor");
export const BUILDS = ["monitor", "monitor-asan"] as const;
export type Build = (typeof BUILDS)[number];
export const SHIM = "containerd-shim-test-v2";
export const NODE = process.execPath;

/** `make` of the targets, once for each test file. */
export function makeMonitor(...targets: readonly string[]): void {
  execFileSync(
    "make",
    ["-s", "-C", join(import.meta.dirname, "../../c"), `OUT=${OUT}`, ...targets.map((t) => join(OUT, t))],
    { stdio: ["ignore", "inherit", "inherit"] },
  );
}

export interface StarterResult {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/** A temp folder with the layout of an installation: bin/SHIM, lib/trimaran/SHIM.cmd, state/HASH. */
export class Installation implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), "trm-mon-"));
  readonly exe = join(this.root, "bin", SHIM);
  readonly cmd = join(this.root, "lib/trimaran", `${SHIM}.cmd`);
  readonly state = join(this.root, "state");
  readonly dir: string;
  readonly socket = join(this.root, "pod.sock");
  readonly log = join(this.root, "monitor.log");
  readonly bundle = join(this.root, "bundle");
  readonly pids = new Set<number>();

  constructor(build: Build, command: readonly string[] = ["/bin/false"]) {
    let hash = 0xcbf29ce484222325n;
    for (const byte of Buffer.from(`${SHIM}\0addr\0ns`))
      hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
    this.dir = join(this.state, hash.toString(16).padStart(16, "0"));
    for (const folder of ["bin", "lib/trimaran", "bundle"]) mkdirSync(join(this.root, folder), { recursive: true });
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
    chmodSync(this.state, 0o700);
    copyFileSync(join(OUT, build), this.exe);
    writeFileSync(this.cmd, command.map((word) => `${word}\n`).join(""));
  }

  get environment(): string[] {
    return [
      `TRIMARAN_MONITOR=pod-1`,
      `TRIMARAN_STATE=${this.state}`,
      `TRIMARAN_DIR=${this.dir}`,
      `TRIMARAN_CMD=${this.cmd}`,
      `TRIMARAN_SHIM=${SHIM}`,
      "TRIMARAN_ADDRESS=addr",
      "TRIMARAN_NAMESPACE=ns",
      `TRIMARAN_TEST=${this.root}`,
      "ASAN_OPTIONS=detect_leaks=0",
      "PATH=/usr/bin:/bin",
    ];
  }
  serveAnswer(): StartAnswer {
    return {
      kind: "serve",
      stdout: Buffer.from(`unix://${this.socket}`),
      program: serveProgram(this.socket, this.environment, this.log),
    };
  }
  /** Run the shim as containerd does. */
  run(args: readonly string[], stdin?: Uint8Array): Promise<StarterResult> {
    const words = ["-namespace", "ns", "-address", "addr", "-publish-binary", "containerd", ...args];
    return new Promise((resolve) => {
      const child = execFile(
        this.exe,
        words,
        {
          env: {
            TRIMARAN_STATE: this.state,
            TRIMARAN_TEST: this.root,
            ASAN_OPTIONS: "detect_leaks=0",
            PATH: "/usr/bin:/bin",
          },
          cwd: this.bundle,
          encoding: "buffer",
        },
        (_error, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr: stderr.toString() }),
      );
      child.stdin?.on("error", () => {});
      child.stdin?.end(stdin ?? "");
    });
  }
  /** What the monitor wrote to stderr: nothing, or a sanitizer's report. */
  checkLog(): void {
    if (existsSync(this.log)) assert.equal(readFileSync(this.log, "utf8"), "");
  }
  serverPid(): number | undefined {
    const path = join(this.dir, "server.pid");
    return existsSync(path) ? Number.parseInt(readFileSync(path, "utf8"), 10) : undefined;
  }
  async [Symbol.asyncDispose](): Promise<void> {
    const server = this.serverPid();
    for (const pid of [...this.pids, ...(server && server !== process.pid ? [server] : [])]) killFamily(pid);
    this.checkLog();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A process and its children: what a monitor ran outlives it otherwise. */
function killFamily(pid: number): void {
  let children: number[] = [];
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {} // it is gone already
  for (const each of [pid, ...children]) killQuietly(each);
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {} // it is gone already
}

/** Polls: for what gives no event. Throws after 10 s. */
export async function eventually(condition: () => boolean, what = condition.toString()): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not within 10 s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A monitor, and a task server in this process that the test scripts. */
export class Pod implements AsyncDisposable {
  readonly at: Installation;
  readonly reports: ProcessReport[] = [];
  links = 0;
  link!: MonitorLink;
  onLink: (link: MonitorLink) => void = () => {};
  #server: MonitorServer | undefined;
  #lock: ChildProcess | undefined;
  #wake: (() => void)[] = [];

  private constructor(build: Build) {
    this.at = new Installation(build);
  }
  static async open(build: Build, start?: (request: StartRequest) => Promise<StartAnswer>): Promise<Pod> {
    const pod = new Pod(build);
    pod.serve(start);
    const result = await pod.at.run(["-id", "x", "start"]);
    assert.deepEqual(
      { code: result.code, stderr: result.stderr, stdout: result.stdout.toString() },
      { code: 0, stderr: "", stdout: `unix://${pod.at.socket}` },
    );
    await pod.until(() => pod.links === 1);
    return pod;
  }
  serve(start: (request: StartRequest) => Promise<StartAnswer> = async () => this.at.serveAnswer()): void {
    rmSync(join(this.at.dir, "server.sock"), { force: true });
    const lock = this.#lock;
    this.#lock = undefined;
    this.#server = serveMonitors(
      { path: join(this.at.dir, "server.sock") },
      { start, monitor: (link) => this.#joined(link) },
    );
    lock?.kill("SIGKILL");
  }
  /** The task server goes away in good order, with BYE. Until `serve`, the monitor can't start another: the lock is taken. `lastMoment` is called just before. */
  async sleep(lastMoment: () => void = () => {}): Promise<void> {
    this.#lock = spawn("flock", ["-F", join(this.at.dir, "server.lock"), "sh", "-c", "echo locked; exec sleep 1000"], {
      stdio: ["ignore", "pipe", "ignore"],
    });
    await once(this.#lock.stdout ?? this.#lock, "data");
    lastMoment();
    await this.#server?.close();
    this.#server = undefined;
  }
  #joined(link: MonitorLink): void {
    this.link = link;
    this.links++;
    this.at.pids.add(link.pid);
    link.onProcess = (report) => {
      this.reports.push(report);
      this.#notify();
    };
    this.onLink(link);
    this.#notify();
  }
  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
  /** Checked at each link and PROC. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }
  /** The state of `key` once it satisfies `condition`. */
  async process(key: string, condition: (report: ProcessReport) => boolean): Promise<ProcessReport> {
    let found: ProcessReport | undefined;
    await this.until(() => {
      const report = this.link.processes.get(key);
      found = report && condition(report) ? report : undefined;
      return found !== undefined;
    });
    if (!found) throw new Error("unreachable");
    return found;
  }
  connect(): Promise<Client> {
    return Client.open(this.at.socket);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.link) killFamily(this.link.pid);
    this.#lock?.kill("SIGKILL");
    await this.#server?.close();
    await this.at[Symbol.asyncDispose]();
  }
}

/** Wait for an event emitter's child to end. */
export async function spawnAndWait(command: string, args: readonly string[]): Promise<number | null> {
  const child = spawn(command, args, { stdio: "ignore" });
  await once(child, "exit");
  return child.exitCode;
}
