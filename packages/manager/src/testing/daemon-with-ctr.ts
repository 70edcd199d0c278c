import { type ExecFileOptions, execFile } from "node:child_process";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { textLogger } from "../daemon/index.ts";
import { openDaemon } from "../daemon/open-daemon.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** `1.6`, and 2.x as it works by itself and with `--local`. */
export type CtrKind = "1.6" | "2.x" | "2.x --local";

/** What a program said. */
export interface Said {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const CTR_1 = "/usr/bin/ctr";
/** Where tools/debian.ts unpacks it. */
const CTR_2 = "/var/cache/trimaran/containerd-2.x/bin/ctr";
const LIMIT_MS = 60_000;
const LOCAL_FLAG: ReadonlySet<string> = new Set(["import", "export", "pull", "push", "tag"]);

/** A daemon within this process, with folders of its own, and real ctr clients for it. */
export class DaemonWithCtr implements AsyncDisposable {
  /** Removed at the end; below it the daemon's own folders. */
  readonly directory: string;
  /** All that the daemon has logged. */
  readonly log: string[] = [];
  readonly #address: string;
  readonly #undo: AsyncDisposableStack;

  private constructor(directory: string, address: string, log: string[], undo: AsyncDisposableStack) {
    this.directory = directory;
    this.log = log;
    this.#address = address;
    this.#undo = undo;
  }

  static async open(): Promise<DaemonWithCtr> {
    await using undo = new AsyncDisposableStack();
    const { path } = undo.use(temporaryDirectory());
    const address = join(path, "c.sock");
    const log: string[] = [];
    mkdirSync(join(path, "tmp")); // ctr mounts there
    undo.use(
      await openDaemon({
        directories: { root: join(path, "root"), state: join(path, "state") },
        address,
        shimDirectories: [],
        environment: {},
        publishBinary: "/bin/false",
        debug: false,
        version: "test",
        log: textLogger((line) => log.push(line), false),
      }),
    );
    return new DaemonWithCtr(path, address, log, undo.move());
  }

  /** Run `ctr images VERB …` or any other command as that client would. */
  ctr(kind: CtrKind, namespace: string, ...args: readonly string[]): Promise<Said> {
    return this.#run(kind, namespace, args, {});
  }

  /** The same, until it is killed. */
  ctrUntil(signal: AbortSignal, kind: CtrKind, namespace: string, ...args: readonly string[]): Promise<Said> {
    return this.#run(kind, namespace, args, { signal, killSignal: "SIGKILL" });
  }

  #run(kind: CtrKind, namespace: string, args: readonly string[], extra: ExecFileOptions): Promise<Said> {
    const [group = "", verb = "", ...rest] = args;
    const local = kind === "2.x --local" && group === "images" && LOCAL_FLAG.has(verb) ? ["--local"] : [];
    const argv = ["-a", this.#address, "-n", namespace, group, verb, ...local, ...rest].filter((each) => each !== "");
    const env = { PATH: process.env.PATH, TMPDIR: join(this.directory, "tmp") };
    return new Promise((resolve) => {
      const options = { env, timeout: LIMIT_MS, maxBuffer: 16 << 20, encoding: "utf8" as const, ...extra };
      execFile(kind === "1.6" ? CTR_1 : CTR_2, argv, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 255;
        resolve({ code, stdout: String(stdout), stderr: String(stderr) });
      });
    });
  }

  /** The same, and it must succeed; its stdout. */
  async ok(kind: CtrKind, namespace: string, ...args: readonly string[]): Promise<string> {
    const said = await this.ctr(kind, namespace, ...args);
    if (said.code === 0) return said.stdout;
    throw new Error(`ctr ${kind} ${args.join(" ")}: exit status ${said.code}\n${said.stdout}${said.stderr}`);
  }

  /** Names in the folder of half blobs. */
  ingests(): string[] {
    return readdirSync(join(this.directory, "root/io.containerd.content.v1.content/ingest"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}
