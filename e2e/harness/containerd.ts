import { type ChildProcess, type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, closeSync, existsSync, openSync, statSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { basename, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ensureContainerd2, ensurePackages } from "../../tools/debian.ts";
import { cleanUp } from "./clean-up.ts";
import { type ConfigOptions, configToml, type EngineDaemon, type EngineVersion } from "./config.ts";
import { buildImages } from "./images.ts";
import { type Finished, type RunOptions, run, shellQuote } from "./process.ts";

/** Where the project's own programs are built. E2E_BIN: those of another build, which nobody replaces while a long run goes on. */
export const BUILD_BIN = process.env.E2E_BIN ?? join(import.meta.dirname, "../../build/bin");
const READY_MS = 20_000;

/** What a containerd for tests is to be like. */
export interface EngineOptions extends Omit<ConfigOptions, "dir"> {
  /** Default: containerd. */
  readonly daemon?: EngineDaemon;
  /** Added to containerd's environment, which shims inherit. */
  readonly env?: Readonly<Record<string, string>>;
  /** Folders put in front of containerd's PATH, where it looks for shims. */
  readonly extraPath?: readonly string[];
  /** build/bin before all of them. Default: true. */
  readonly buildInPath?: boolean;
}

/** A containerd, or a `trimaran daemon` in its place, of our own: own root, state and address, killed and removed with all that belongs to it when disposed. */
export class Engine implements AsyncDisposable {
  readonly version: EngineVersion;
  readonly kind: EngineDaemon;
  /** Marks everything of this engine: part of its paths, ids and environment, and its namespace. */
  readonly tag: string;
  readonly dir: string;
  readonly namespace: string;
  readonly address: string;
  /** containerd's log at level debug. */
  readonly logPath: string;
  /** $TRIMARAN_STATE of the shims: server.pid in each folder below it names the task servers. */
  readonly trimaranState: string;
  /** Ids handed out by `newId`; clean-up and leak checks look for them. */
  readonly ids: string[] = [];
  readonly #bin: string;
  readonly #env: NodeJS.ProcessEnv;
  #daemon: ChildProcess | undefined;

  constructor(dir: string, bin: string, options: EngineOptions) {
    this.version = options.version;
    this.kind = options.daemon ?? "containerd";
    this.dir = dir;
    this.tag = basename(dir);
    this.namespace = this.tag;
    this.address = join(dir, "c.sock");
    this.logPath = join(dir, "containerd.log");
    this.trimaranState = join(dir, "t");
    this.#bin = bin;
    const first = options.buildInPath === false ? [] : [BUILD_BIN];
    const path = [...first, ...(options.extraPath ?? []), bin, "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    this.#env = {
      ...process.env,
      PATH: path.join(":"),
      TMPDIR: join(dir, "tmp"), // ctr mounts snapshots in there
      TRIMARAN_STATE: this.trimaranState,
      TRIMARAN_E2E: this.tag,
      CONTAINERD_ADDRESS: this.address,
      CONTAINERD_NAMESPACE: this.namespace,
      ...options.env,
    };
  }

  /** containerd's pid. Throws if it does not run. */
  get pid(): number {
    if (this.#daemon?.pid === undefined) throw new Error("containerd is not running");
    return this.#daemon.pid;
  }

  /** An id for a container that no other engine and no other call has. */
  newId(): string {
    const id = `${this.tag}-${this.ids.length}`;
    this.ids.push(id);
    return id;
  }

  /** Run `ctr` against this engine. */
  ctr(...args: readonly string[]): Promise<Finished> {
    return this.ctrWith({}, ...args);
  }

  /** Run `ctr` with stdin, a time limit, … */
  ctrWith(options: RunOptions, ...args: readonly string[]): Promise<Finished> {
    return run(this.#ctrArgv(args), { ...options, env: { ...this.#env, ...options.env } });
  }

  /**
   * Run `ctr` on a terminal of 40 rows and 100 columns. All it writes comes as stdout, lines end in "\r\n".
   * Without -onlcr it would be "\r\r\n": ctr's raw mode leaves the outer terminal's output processing on.
   */
  ctrOnTerminal(options: RunOptions, ...args: readonly string[]): Promise<Finished> {
    const line = `stty rows 40 cols 100 -onlcr; exec ${this.#ctrArgv(args).map(shellQuote).join(" ")}`;
    const argv = ["script", "-qefc", line, "/dev/null"];
    return run(argv, { dialogue: [], ...options, env: { ...this.#env, ...options.env } });
  }

  /** Run `ctr` and return its stdout. Throws with all it said if it fails. */
  async ctrOk(...args: readonly string[]): Promise<string> {
    const done = await this.ctr(...args);
    if (done.code !== 0)
      throw new Error(`ctr ${args.join(" ")}: exit status ${done.code}\n${done.stdout}${done.stderr}`);
    return done.stdout;
  }

  /** Start `ctr` and leave it running; the caller ends it. */
  spawnCtr(...args: readonly string[]): ChildProcessWithoutNullStreams {
    const [file = "", ...rest] = this.#ctrArgv(args);
    return spawn(file, rest, { env: this.#env, stdio: ["pipe", "pipe", "pipe"] });
  }

  /** Send a signal to containerd and wait for its end. */
  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    const daemon = this.#daemon;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    daemon.kill(signal);
    await once(daemon, "exit");
    this.#daemon = undefined;
  }

  /** Start containerd, on the same folders if it ran before. Returns when it accepts connections. */
  async start(): Promise<void> {
    const before = changedAtNs(this.address);
    const log = openSync(this.logPath, "a");
    const [file = "", ...args] = this.#daemonArgv();
    const daemon = spawn(file, args, {
      env: this.#env,
      cwd: this.dir,
      stdio: ["ignore", log, log],
      detached: true, // a Ctrl-C is for the test, which then ends containerd
    });
    daemon.on("exit", (code, signal) => {
      appendFileSync(log, `--- ${this.kind} has ended: ${signal ?? code}\n`);
      closeSync(log);
    });
    this.#daemon = daemon;
    await this.#ready(daemon, before);
  }

  /** `kill -9`, then start again. */
  async restart(): Promise<void> {
    await this.kill("SIGKILL");
    await this.start();
  }

  /** containerd's configuration file. */
  get configPath(): string {
    return join(this.dir, "config.toml");
  }

  /** What containerd itself makes of its configuration file, defaults included. */
  configDump(): Promise<Finished> {
    return run([join(this.#bin, "containerd"), "--config", this.configPath, "config", "dump"], { env: this.#env });
  }

  /** Pids of the task servers that trimaran's shims have started for this engine. */
  async taskServerPids(): Promise<number[]> {
    if (!existsSync(this.trimaranState)) return [];
    const folders = await readdir(this.trimaranState);
    const texts = folders.map((name) => readFile(join(this.trimaranState, name, "server.pid"), "utf8").catch(() => ""));
    return (await Promise.all(texts)).map((text) => Number.parseInt(text, 10)).filter((pid) => pid > 0);
  }

  /** The end of containerd's log. */
  async logTail(lines = 40): Promise<string> {
    const text = await readFile(this.logPath, "utf8").catch(() => "");
    return text.split("\n").slice(-lines).join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await cleanUp(this);
  }

  #daemonArgv(): string[] {
    if (this.kind === "containerd") return [join(this.#bin, "containerd"), "--config", this.configPath];
    const [root, state] = ["root", "state"].map((name) => join(this.dir, name));
    return [
      join(BUILD_BIN, "trimaran"),
      "daemon",
      `--root=${root}`,
      `--state=${state}`,
      `--address=${this.address}`,
      "--debug",
    ];
  }

  #ctrArgv(args: readonly string[]): string[] {
    return [join(this.#bin, "ctr"), "--address", this.address, "--namespace", this.namespace, ...args];
  }

  /**
   * The socket of the daemon that ran `before` may still take connections: a program that it was just starting when it was killed has
   * the socket open until its exec. Nobody will ever answer there.
   */
  async #ready(daemon: ChildProcess, before: bigint | undefined): Promise<void> {
    const until = Date.now() + READY_MS;
    while (changedAtNs(this.address) === before || !(await accepts(this.address))) {
      if (daemon.exitCode !== null || daemon.signalCode !== null || Date.now() > until) {
        throw new Error(`${this.kind} ${this.version} did not come up\n${await this.logTail()}`);
      }
      await delay(20);
    }
  }
}

/** Start a containerd of our own with the test images in it. */
export async function startContainerd(options: EngineOptions): Promise<Engine> {
  await ensurePackages();
  const bin = options.version === "1.6" ? "/usr/bin" : join(await ensureContainerd2(), "bin");
  const { oci } = await buildImages();
  const dir = await mkdtemp("/tmp/trm-");
  for (const name of ["tmp", "t", "opt", "cni/conf"]) await mkdir(join(dir, name), { recursive: true });
  const engine = new Engine(dir, bin, options);
  await writeFile(engine.configPath, configToml({ ...options, dir }));
  await using undo = new AsyncDisposableStack();
  undo.use(engine);
  await engine.start();
  await engine.ctrOk("images", "import", oci);
  undo.move(); // from here on the caller owns it
  return engine;
}

/** Of a file's inode; undefined if there is none. */
function changedAtNs(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ctimeNs;
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.on("connect", () => resolve(true)).on("error", () => resolve(false));
    socket.on("connect", () => socket.destroy());
  });
}
