import { readFileSync, rmSync } from "node:fs";
import { type Cgroup, describeFailure, type ProgramBuilder, type StdioPlan } from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  type Exit,
  type Host,
  intoFiles,
  type MonitoredProcess,
  processProgram,
  type StdioLaunch,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { failureReason } from "./reason.ts";

const SIGKILL = 9;
const PR_SET_PDEATHSIG = 1;
/** A command that only asks a sandbox answers in 30 ms; a sandbox that hangs must not hang its task. */
const LIMIT_MS = 8000;

/** Where runsc is, and what each of its commands is told. */
export interface RunscPlace {
  readonly path: string;
  /** Its state directory. */
  readonly root: string;
  /** Further flags, whole: `--network=none`. */
  readonly flags: readonly string[];
  /** A folder of the container's bundle for logs and output. */
  readonly work: string;
  readonly searchPath: string;
}

/** One command of runsc. */
export interface RunscCommand {
  /** The monitor's key. One that is known gives the process that it belongs to. */
  readonly key: string;
  /** Names its files in the work folder; unique among the commands that run at a time. */
  readonly name: string;
  /** Flags of runsc for this command only. */
  readonly flags?: readonly string[];
  /** The verb, its flags and arguments. */
  readonly args: readonly string[];
  /** Default: from /dev/null, into files. */
  readonly stdio?: StdioLaunch;
  /** Where it runs, and with it what it starts. Default: where the monitor is. */
  readonly cgroup?: Cgroup;
  readonly gate?: boolean;
  readonly prelude?: (builder: ProgramBuilder) => void;
  readonly setup?: (builder: ProgramBuilder) => void;
  readonly watches?: readonly number[];
  readonly onWatch?: (slot: number, data: Uint8Array) => void;
}

/** runsc, run by a pod's monitor: a command that has begun goes on, and is found again, whatever becomes of the task server. */
export class Runsc {
  readonly place: RunscPlace;
  readonly #host: Host;

  constructor(host: Host, place: RunscPlace) {
    this.#host = host;
    this.place = place;
  }

  /** Start a command; with its key known, find it. */
  launch(command: RunscCommand): MonitoredProcess {
    const { key, name, stdio, cgroup, gate = false, prelude, setup, watches, onWatch } = command;
    const { path, root, flags, searchPath, work } = this.place;
    const common = [`--root=${root}`, `--log=${this.#file(name, "log")}`, "--log-format=json"];
    const into = cgroup?.unifiedDirectory();
    const plan: StdioPlan = stdio?.plan ?? intoFiles(this.#file(name, "out"), this.#file(name, "err"));
    const program = processProgram({
      process: {
        args: [path, ...common, ...flags, ...(command.flags ?? []), ...command.args],
        env: [`PATH=${searchPath}`, "HOME=/root"],
        cwd: work,
        user: ROOT,
        rlimits: [],
        noNewPrivileges: false,
      },
      stdio: plan,
      cgroup: {
        attachFiles: cgroup?.attachFiles({ clonedIntoUnified: true }) ?? [],
        ...(into === undefined ? {} : { into }),
      },
      gate,
      ...(prelude && { prelude }),
      setup(builder) {
        // a wait or an exec must not outlive the monitor: it would go on with files that `delete` has removed
        builder.sys("prctl", [PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0]);
        setup?.(builder);
      },
    });
    return this.#host.launch(key, {
      program: program.bytes,
      ...(stdio && { stdio }),
      ...(watches && { watches }),
      ...(onWatch && { onWatch }),
      describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
      onSync: () => 0n, // the terminal: the monitor has put it into its slot
    });
  }

  /** Wait for the end of a command. Throws what runsc says where it has failed; Unavailable where it hangs, after it was killed. */
  finish(command: RunscCommand, process: MonitoredProcess, limitMs = LIMIT_MS): Promise<void> {
    return inSpan(`runsc ${command.args[0]}`, () => this.#finish(command, process, limitMs));
  }

  async #finish(command: RunscCommand, process: MonitoredProcess, limitMs: number): Promise<void> {
    await process.spawned();
    let hangs = false;
    const limit = setTimeout(() => {
      hangs = true;
      this.#host.signal(process, SIGKILL).catch(() => undefined); // it ended just now
    }, limitMs);
    const { exit } = await process.exited();
    clearTimeout(limit);
    if (exit.kind === "exited" && exit.code === 0) return;
    const [verb = ""] = command.args;
    if (hangs) throw new StatusError(Code.Unavailable, `runsc ${verb}: no answer in ${limitMs / 1000} s; was killed`);
    // The program's own failure (runsc is gone, a mount is refused) says more than the exit that follows it.
    await process.execed();
    throw new StatusError(Code.Unknown, `runsc ${verb}: ${this.reason(command.name, exit)}`);
  }

  /**
   * Run a command to its end and give its stdout. Throws as `finish` does. Nothing of it stays, once the answer to the request that it was
   * run for is on its way: a replay of that finds it done.
   */
  async run(command: RunscCommand, limitMs = LIMIT_MS): Promise<string> {
    const process = this.launch(command);
    try {
      await this.finish(command, process, limitMs);
      return this.output(command.name);
    } finally {
      setImmediate(() => {
        this.#host.forget(command.key);
        this.removeFiles(command.name);
      });
    }
  }

  /** What a command has written to its stdout by now. */
  output(name: string): string {
    return this.#read(name, "out");
  }

  /** Why a command failed, in runsc's words where it had any. */
  reason(name: string, exit: Exit): string {
    const said = failureReason(this.#read(name, "log"), this.#read(name, "err"));
    if (said !== undefined) return said;
    if (exit.kind === "exited") return `exit status ${exit.code} without a word`;
    return exit.kind === "signaled" ? `was killed by signal ${exit.signal}` : exit.why;
  }

  removeFiles(name: string): void {
    for (const kind of ["log", "out", "err"] as const) rmSync(this.#file(name, kind), { force: true });
  }

  #file(name: string, kind: "log" | "out" | "err"): string {
    return `${this.place.work}/${name}.${kind}`;
  }

  #read(name: string, kind: "log" | "out" | "err"): string {
    try {
      return readFileSync(this.#file(name, kind), "utf8");
    } catch {
      return ""; // it did not come to that
    }
  }
}

const ROOT = { uid: 0, gid: 0, additionalGids: [], umask: 0o022 } as const;
