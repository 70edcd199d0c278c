/** The two halves of the bridge as processes, and virtiofsd behind them. Everything runs in the mount namespace of the test. */
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";

export const ROOT = join(import.meta.dirname, "../../../..");
export const OUT = process.env.FSBRIDGE_OUT ?? join(ROOT, "build/fsbridge");
const VIRTIOFSD = "/usr/lib/qemu/virtiofsd";

/** What is built: the program, and the same with sanitizers. */
export const BUILDS = ["trimaran-fsbridge", "fsbridge-asan"] as const;
export type Build = (typeof BUILDS)[number];

/** How a process ended. */
export interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
}

/** A child of the test, with its end and what it says. */
export class Running implements AsyncDisposable {
  readonly child: ChildProcess;
  readonly ended: Promise<End>;
  stdout = "";
  stderr = "";
  readonly #waiting = new Set<() => void>();

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on("data", (chunk) => this.#heard(() => (this.stdout += chunk)));
    child.stderr?.on("data", (chunk) => this.#heard(() => (this.stderr += chunk)));
    this.ended = once(child, "close").then(([code, signal]) => {
      this.#heard(() => undefined);
      return { code, signal, stderr: this.stderr };
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Resolves once stdout and stderr together hold `text`. Rejects if the process ends first. */
  async says(text: string): Promise<void> {
    while (!`${this.stdout}${this.stderr}`.includes(text)) {
      if (this.child.exitCode !== null || this.child.signalCode !== null)
        throw new Error(`ended without saying ${JSON.stringify(text)}: ${this.stderr}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // virtiofsd's child would only be asked to end, which one that stands still does not hear
    if (this.child.exitCode === null && this.child.signalCode === null)
      for (const pid of family(this).reverse()) killIfThere(pid);
    await this.ended;
  }

  #heard(note: () => void): void {
    note();
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }
}

/** With its child virtiofsd ends by itself, at once. */
export function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** A process and its children: virtiofsd works in one. */
export function family({ pid }: Running): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return [pid, ...children.filter((each) => each !== "").map(Number)];
}

/** SIGSTOP a process and its children; resolves once every thread stands still. The pids, for SIGCONT. */
export async function standStill(running: Running): Promise<readonly number[]> {
  const pids = family(running);
  for (const pid of pids) process.kill(pid, "SIGSTOP");
  const threads = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}/stat`),
  );
  while (!threads.every((path) => / [Tt] /.test(readFileSync(path, "utf8")))) await setTimeout(1);
  return pids;
}

/** Start virtiofsd for a directory, as a pod does. Resolves once it listens. */
export async function startDaemon(shared: string, socket: string): Promise<Running> {
  const options = ["xattr", "cache=auto", "sandbox=namespace"].flatMap((option) => ["-o", option]);
  const args = ["-f", `--socket-path=${socket}`, "-o", `source=${shared}`, ...options];
  const daemon = new Running(spawn(VIRTIOFSD, args, { stdio: ["ignore", "ignore", "pipe"] }));
  const pidFile = `/run/virtiofsd/${socket.replaceAll("/", ".")}.pid`; // it takes none away; with --fd, as a pod's, it makes none
  void daemon.ended.then(() => rmSync(pidFile, { force: true }));
  await daemon.says("Waiting for vhost-user socket connection");
  return daemon;
}

/** Start a half. Sockets of `fds` become its fd 3 and up. */
export function startHalf(build: Build, args: readonly string[], fds: readonly Socket[] = []): Running {
  return new Running(spawn(join(OUT, build), args, { stdio: ["ignore", "pipe", "pipe", ...fds] }));
}

/** Both ends of a stream socket. Neither is read by this process yet. */
export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const name = `\0fsbridge-${randomUUID()}`; // abstract: leaves no file
  const server = createServer({ pauseOnConnect: true }).listen(name);
  await once(server, "listening");
  const near = connect(name);
  const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [[Socket], unknown];
  server.close();
  return [near, far];
}
