import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The runtime under test: upstream's, unless the environment says otherwise. */
export const RUNTIME = process.env.RUNTIME ?? "io.containerd.runc.v2";

/** What users run: the built program. A run from source takes three times as long to start. */
export const MAIN = join(import.meta.dirname, "../../../../build/lib/trimaran/trimaran.js");

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command with directories of its own, and a busybox rootfs. */
export class Trimaran implements Disposable {
  readonly directory = mkdtempSync(join(tmpdir(), "trimaran-e2e-"));
  readonly rootfs = join(this.directory, "rootfs");

  constructor() {
    for (const name of ["bin", "etc", "proc", "dev", "sys", "run", "tmp"])
      mkdirSync(join(this.rootfs, name), { recursive: true });
    copyFileSync("/bin/busybox", join(this.rootfs, "bin/busybox"));
    chmodSync(join(this.rootfs, "bin/busybox"), 0o755);
    const applets = [
      "sh",
      "cat",
      "ls",
      "sleep",
      "true",
      "id",
      "seq",
      "echo",
      "ps",
      "stty",
      "env",
      "hostname",
      "touch",
      "tar",
      "test",
    ];
    for (const applet of applets) symlinkSync("busybox", join(this.rootfs, "bin", applet));
    writeFileSync(join(this.rootfs, "etc/passwd"), "root:x:0:0::/:/bin/sh\nbob:x:1000:1001::/:/bin/sh\n");
  }

  start(...args: string[]): ChildProcess {
    return this.startIn("state", ...args);
  }

  /** With another state directory. */
  startIn(state: string, ...args: string[]): ChildProcess {
    const root = ["--root", join(this.directory, "root"), "--state", join(this.directory, state)];
    const own = args[0] === "daemon" ? [] : ["--namespace", "trimaran-e2e"];
    return spawn(process.execPath, [MAIN, ...root, ...own, ...args], { stdio: "pipe" });
  }

  /** `metrics` of this daemon, which is not of a containerd namespace. */
  startMetrics(...args: string[]): ChildProcess {
    const state = ["--state", join(this.directory, "state")];
    return spawn(process.execPath, [MAIN, "metrics", ...state, ...args], { stdio: "pipe" });
  }

  /** A docker archive of the rootfs in two layers, the upper one with /etc/second; its path. */
  imageArchive(name: string): string {
    const work = join(this.directory, "archive");
    mkdirSync(join(work, "upper/etc"), { recursive: true });
    writeFileSync(join(work, "upper/etc/second"), "second\n");
    const tar = (file: string, directory: string, ...paths: string[]) =>
      execFileSync("tar", ["--numeric-owner", "--sort=name", "-C", directory, "-cf", join(work, file), ...paths]);
    tar("lower.tar", this.rootfs, ".");
    tar("upper.tar", join(work, "upper"), "etc/second");
    const layers = ["lower.tar", "upper.tar"];
    const digest = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const config = {
      architecture: { x64: "amd64" }[process.arch as string] ?? process.arch,
      os: "linux",
      config: {
        Env: ["PATH=/bin", "FROM=image"],
        Cmd: ["sh", "-c", "cat /etc/second; echo $FROM"],
        StopSignal: "SIGUSR1",
      },
      rootfs: { type: "layers", diff_ids: layers.map((file) => digest(readFileSync(join(work, file)))) },
    };
    writeFileSync(join(work, "config.json"), JSON.stringify(config));
    writeFileSync(
      join(work, "manifest.json"),
      JSON.stringify([{ Config: "config.json", RepoTags: name === "" ? [] : [name], Layers: layers }]),
    );
    tar("image.tar", work, "manifest.json", "config.json", ...layers);
    return join(work, "image.tar");
  }

  /** A daemon on the same directories, until disposed; its log so far. */
  async startDaemon(...flags: string[]): Promise<AsyncDisposable & { readonly log: () => string }> {
    const child = this.start("daemon", ...flags);
    const chunks: Buffer[] = [];
    const log = () => Buffer.concat(chunks).toString("utf8");
    const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
    await new Promise<void>((resolve, reject) => {
      child.stderr?.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        if (log().includes('msg="serving"')) resolve();
      });
      child.once("close", () => reject(new Error(`the daemon has ended: ${log()}`)));
    });
    return {
      log,
      [Symbol.asyncDispose]: async () => {
        child.kill("SIGTERM");
        await ended;
      },
    };
  }

  async with(input: string | Uint8Array, ...args: string[]): Promise<Finished> {
    const child = this.start(...args);
    child.stdin?.on("error", () => {}).end(input);
    return finished(child);
  }

  /** `run` with the runtime under test. */
  run(...args: string[]): Promise<Finished> {
    return this.with("", "run", "--runtime", RUNTIME, ...args);
  }

  call(...args: string[]): Promise<Finished> {
    return this.with("", ...args);
  }

  /** What is still there of this directory's containers: shims, mounts, bundles, container folders. */
  leftovers(): string[] {
    const mounts = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(this.directory));
    const processes = readdirSync("/proc").filter(
      (pid) => /^\d+$/.test(pid) && mentions(pid, `${this.directory}/`) && !isTaskServer(pid),
    );
    const kept = ["state/io.containerd.runtime.v2.task/trimaran-e2e", "root/containers/trimaran-e2e"].flatMap(
      (path) => {
        try {
          return readdirSync(join(this.directory, path));
        } catch {
          return [];
        }
      },
    );
    return [...mounts, ...processes.map((pid) => `process ${pid}`), ...kept];
  }

  [Symbol.dispose](): void {
    const ids = execFileSync(process.execPath, [
      MAIN,
      ...["--root", join(this.directory, "root"), "--state", join(this.directory, "state")],
      ...["--namespace", "trimaran-e2e", "ps", "-a", "-q"],
    ]);
    const left = ids.toString("utf8").split("\n").filter(Boolean);
    // Said and not thrown: it comes from a test that has failed already, whose own error is the one to see.
    if (left.length > 0) {
      process.exitCode = 1;
      process.stderr.write(`containers left behind in ${this.directory}: ${left.join(" ")}\n`);
      return;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }
}

export async function finished(child: ChildProcess): Promise<Finished> {
  const read = async (stream: AsyncIterable<Buffer> | null) => {
    const chunks: Buffer[] = [];
    for await (const chunk of stream ?? []) chunks.push(chunk);
    return Buffer.concat(chunks).toString("utf8");
  };
  const exit = new Promise<number | null>((resolve) => child.once("close", resolve));
  const [stdout, stderr, code] = await Promise.all([read(child.stdout), read(child.stderr), exit]);
  return { code, stdout, stderr };
}

function mentions(pid: string, text: string): boolean {
  try {
    return pid !== String(process.pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(text);
  } catch {
    return false;
  }
}

/** The shared brain of our own shims outlives its containers for a while, by design. */
function isTaskServer(pid: string): boolean {
  return mentions(pid, "--serve");
}
