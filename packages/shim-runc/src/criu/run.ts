import { type Cgroup, describeFailure, type Program, type ProgramBuilder, type StdioPlan } from "@trimaran/linux";
import {
  type Exit,
  type Host,
  type MonitoredProcess,
  processProgram,
  SLOT,
  type StdioLaunch,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { failureReason } from "./log.ts";

// asm-generic/fcntl.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_CLOEXEC = 0o2000000;
const ROOT = { uid: 0, gid: 0, additionalGids: [], umask: 0o022 } as const;

/** One run of criu's, by the pod's monitor: it goes on, and is found again, whatever becomes of the task server. */
export interface CriuRun {
  /** The monitor's key. */
  readonly key: string;
  readonly criu: string;
  readonly args: readonly string[];
  readonly searchPath: string;
  /** Where its stderr goes, `NAME.err`; and where its log is, `NAME.log`. */
  readonly work: string;
  readonly name: "dump" | "restore";
  /** Default: from /dev/null, into files. */
  readonly stdio?: StdioLaunch;
  /** Where it runs, and with it what it restores. Default: where the monitor is. */
  readonly cgroup?: Cgroup;
  readonly gate?: boolean;
  readonly setup?: (builder: ProgramBuilder) => void;
  readonly inherited?: readonly number[];
  readonly env?: readonly string[];
  readonly prelude?: (builder: ProgramBuilder) => void;
  readonly watches?: readonly number[];
  readonly onWatch?: (slot: number) => void;
}

/** Start it; with its key known, find it. */
export function launchCriu(host: Host, run: CriuRun): MonitoredProcess {
  const { key, stdio, watches, onWatch } = run;
  const program = criuProgram(run, stdio?.plan ?? intoFile(stderrOf(run)));
  return host.launch(key, {
    program: program.bytes,
    ...(stdio && { stdio }),
    ...(watches && { watches }),
    ...(onWatch && { onWatch }),
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
    onSync: () => 0n,
  });
}

/** criu as a launch program. */
export function criuProgram(run: Omit<CriuRun, "stdio">, stdio: StdioPlan): Program {
  const { criu, args, searchPath, work, cgroup, gate = false, setup, inherited, env = [], prelude } = run;
  const into = cgroup?.unifiedDirectory();
  return processProgram({
    process: {
      args: [criu, ...args],
      env: [`PATH=${searchPath}`, "HOME=/root", ...env],
      cwd: work,
      user: ROOT,
      rlimits: [],
      noNewPrivileges: false,
    },
    stdio,
    cgroup: {
      attachFiles: cgroup?.attachFiles({ clonedIntoUnified: true }) ?? [],
      ...(into === undefined ? {} : { into }),
    },
    gate,
    ...(prelude && { prelude }),
    ...(setup && { setup }),
    ...(inherited && { inherited }),
  });
}

/** Wait for its end. Throws what criu says where it has failed, and where its log is. */
export async function finishCriu(run: Pick<CriuRun, "name" | "work">, process: MonitoredProcess): Promise<void> {
  await process.spawned();
  const { exit } = await process.exited();
  if (exit.kind === "exited" && exit.code === 0) return;
  await process.execed(); // the program's own failure says more than the exit that follows it
  throw new StatusError(Code.Unknown, criuFailure(run, describeExit(exit)));
}

/** What criu says of its failure, and where its log is. */
export function criuFailure(run: Pick<CriuRun, "name" | "work">, ending: string): string {
  const log = `${run.work}/${run.name}.log`;
  return `criu ${run.name}: ${failureReason({ log, stderr: stderrOf(run) }, ending)} (${log})`;
}

function stderrOf({ work, name }: Pick<CriuRun, "name" | "work">): string {
  return `${work}/${name}.err`;
}

/** In words. */
export function describeExit(exit: Exit): string {
  switch (exit.kind) {
    case "exited":
      return `exit status ${exit.code}`;
    case "signaled":
      return `killed by signal ${exit.signal}`;
    case "lost":
      return exit.why;
  }
}

function intoFile(stderr: string): StdioPlan {
  return {
    kind: "slots",
    stdin: SLOT.childStdin,
    stdout: SLOT.childStdout,
    stderr: SLOT.childStderr,
    prelude(builder) {
      open(builder, "/dev/null", O_RDONLY, SLOT.childStdin);
      open(builder, "/dev/null", O_WRONLY, SLOT.childStdout);
      open(builder, stderr, O_WRONLY | O_CREAT | O_TRUNC, SLOT.childStderr);
    },
  };
}

function open(builder: ProgramBuilder, path: string, flags: number, slot: number): void {
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string(path), flags | O_CLOEXEC, 0o600]);
  builder.op("KEEP", [fd, slot]);
  builder.release(fd);
}
