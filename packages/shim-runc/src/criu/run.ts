import { type Cgroup, describeFailure, type Program, type ProgramBuilder, type StdioPlan } from "@trimaran/linux";
import {
  describeExit,
  type Host,
  intoFiles,
  type MonitoredProcess,
  processProgram,
  type StdioLaunch,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { failureReason } from "./log.ts";

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
  /** The same in resctrl: files to write `0` to. */
  readonly resctrlTasks?: readonly string[];
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
  const program = criuProgram(run, stdio?.plan);
  return host.launch(key, {
    program: program.bytes,
    ...(stdio && { stdio }),
    ...(watches && { watches }),
    ...(onWatch && { onWatch }),
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
    onSync: () => 0n,
  });
}

/** criu as a launch program. `stdio`: default: from /dev/null, its stderr into a file; so it is with a terminal's, which is for what criu restores. */
export function criuProgram(run: Omit<CriuRun, "stdio">, stdio?: StdioPlan): Program {
  const {
    criu,
    args,
    searchPath,
    work,
    cgroup,
    resctrlTasks = [],
    gate = false,
    setup,
    inherited,
    env = [],
    prelude,
  } = run;
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
    stdio: stdio === undefined || stdio.kind === "terminal" ? besides(stdio, stderrOf(run)) : stdio,
    cgroup: {
      attachFiles: [...(cgroup?.attachFiles({ clonedIntoUnified: true }) ?? []), ...resctrlTasks],
      ...(into === undefined ? {} : { into }),
    },
    gate,
    ...(prelude && { prelude }),
    ...(setup && { setup }),
    ...(inherited && { inherited }),
  });
}

function besides(stdio: StdioPlan | undefined, stderr: string): StdioPlan {
  const files = intoFiles("/dev/null", stderr);
  return {
    ...files,
    prelude(builder) {
      stdio?.prelude(builder);
      builder.field = "stdio";
      files.prelude(builder);
    },
  };
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
