import { type Process, type Program, type ProgramBuilder, type StdioPlan, SYNC_CODE } from "@trimaran/linux";
import { newProgram } from "../host/programs.ts";

// asm-generic: fcntl.h, ioctls.h, linux/sched.h, linux/prctl.h
const AT_FDCWD = -100;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_CLOEXEC = 0o2000000;
const O_PATH = 0o10000000;
const TIOCSPTLCK = 0x40045431;
const TIOCGPTPEER = 0x5441;
const TIOCSCTTY = 0x540e;
const PR_SET_NO_NEW_PRIVS = 38;
const CLONE_ARGS_BYTES = 88;
const CLONE_ARGS_CGROUP = 80;
const CLONE_INTO_CGROUP = 0x2_0000_0000n;
/** CAPS: the bounding set, the three of capset, the ambient one. */
const ALL_CAPABILITY_SETS = 7;
const DEFAULT_UMASK = 0o022;
const PATH_BYTES = 4096;
/** Free between the slots of stdio and the monitor's own; see `stdio/slots.ts`. */
const CGROUP_SLOT = 13;

/** A process of the host, without namespaces of its own. */
export interface ProcessPlan {
  readonly process: Pick<Process, "args" | "env" | "cwd" | "user" | "rlimits" | "noNewPrivileges">;
  readonly stdio: StdioPlan;
  /** Where it runs: a cgroup2 directory that it is cloned into, and files into which it writes `0`. */
  readonly cgroup: { readonly into?: string; readonly attachFiles: readonly string[] };
  /** Wait at the start gate before execve. */
  readonly gate: boolean;
  /** CLONE_ bits of namespaces that are its own from its beginning. Default: none. */
  readonly namespaces?: number;
  /** It gets no capability, and can gain none. Default: it keeps the monitor's. */
  readonly isPowerless?: boolean;
  /** Further steps that run in the monitor before the clone. */
  readonly prelude?: (builder: ProgramBuilder) => void;
  /** Further steps of the child, once it has its stdio and is in its cgroup. */
  readonly setup?: (builder: ProgramBuilder) => void;
  /** Fds that `setup` has made and that the program inherits, from 3 on, sorted. Default: none. */
  readonly inherited?: readonly number[];
}

/** Compile a plain process: everything that can go wrong before execve goes wrong before the gate. */
export function processProgram(plan: ProcessPlan): Program {
  const { process, stdio, cgroup, gate, prelude, setup, inherited = [], namespaces = 0, isPowerless = false } = plan;
  const builder = newProgram("stdio");
  stdio.prelude(builder);
  prelude?.(builder);
  clone(builder, stdio, cgroup.into, BigInt(namespaces));
  builder.sys("setsid", []);
  if (stdio.kind === "terminal") takeTerminal(builder, stdio.slot);
  else
    [stdio.stdin, stdio.stdout, stdio.stderr].forEach((index, fd) => {
      builder.sys("dup3", [{ kind: "slot", index }, fd, 0]);
    });
  joinCgroup(builder, cgroup.attachFiles);
  setup?.(builder);
  becomeUser(builder, process);
  if (isPowerless) dropCapabilities(builder);
  const program = findProgram(builder, process);
  builder.op("CLOSE", [builder.data.halves(inherited), inherited.length]);
  builder.field = "start";
  if (gate) builder.op("GATE", []);
  execute(builder, process, program);
  return builder.build();
}

function clone(builder: ProgramBuilder, stdio: StdioPlan, into: string | undefined, namespaces: bigint): void {
  const { data } = builder;
  const args = data.space(CLONE_ARGS_BYTES);
  data.setWord(args, namespaces);
  let close = stdio.kind === "terminal" ? 0 : (1 << stdio.stdin) | (1 << stdio.stdout) | (1 << stdio.stderr);
  if (into !== undefined) {
    builder.field = "linux.cgroupsPath";
    const directory = builder.call("openat", [AT_FDCWD, data.string(into), O_PATH | O_CLOEXEC, 0]);
    builder.op("KEEP", [directory, CGROUP_SLOT]);
    builder.op("STORE", [directory, args.offset + CLONE_ARGS_CGROUP, 8]);
    builder.release(directory);
    data.setWord(args, CLONE_INTO_CGROUP | namespaces);
    close |= 1 << CGROUP_SLOT;
  }
  builder.field = "process";
  builder.op("CLONE", [args, 0, close]);
}

/** A pty of its own: the master goes to the monitor, the other end is 0, 1, 2 and the session's terminal. */
function takeTerminal(builder: ProgramBuilder, slot: number): void {
  const { data } = builder;
  builder.field = "process.terminal";
  const flags = O_RDWR | O_NOCTTY | O_CLOEXEC;
  const master = builder.call("openat", [AT_FDCWD, data.string("/dev/ptmx"), flags, 0]);
  builder.sys("ioctl", [master, TIOCSPTLCK, data.words([0])]);
  const peer = builder.call("ioctl", [master, TIOCGPTPEER, flags]);
  builder.op("SYNC", [SYNC_CODE.CONSOLE, 0, master, slot, data.string(""), 0]);
  for (const fd of [0, 1, 2]) builder.sys("dup3", [peer, fd, 0]);
  builder.sys("ioctl", [0, TIOCSCTTY, 0]);
}

function joinCgroup(builder: ProgramBuilder, attachFiles: readonly string[]): void {
  const { data } = builder;
  builder.field = "linux.cgroupsPath";
  for (const path of attachFiles) {
    const file = builder.call("openat", [AT_FDCWD, data.string(path), O_WRONLY | O_CLOEXEC, 0]);
    builder.sys("write", [file, data.bytes(Buffer.from("0")), 1]);
    builder.release(file);
  }
}

function becomeUser(builder: ProgramBuilder, { rlimits, user, cwd, noNewPrivileges }: ProcessPlan["process"]): void {
  const { data } = builder;
  for (const { name, resource, soft, hard } of rlimits) {
    builder.field = `process.rlimits ${name}`;
    builder.sys("prlimit64", [0, resource, data.words([soft, hard]), 0]);
  }
  builder.field = `process.cwd ${JSON.stringify(cwd)}`;
  builder.op("CWD", [data.string(cwd)], { action: "chdir" });
  builder.field = "process.user";
  builder.sys("umask", [user.umask ?? DEFAULT_UMASK]);
  builder.sys("setgroups", [user.additionalGids.length, data.halves(user.additionalGids)]);
  builder.sys("setresgid", [user.gid, user.gid, user.gid]);
  builder.sys("setresuid", [user.uid, user.uid, user.uid]);
  if (noNewPrivileges) builder.sys("prctl", [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
}

/** From here on, and after execve, user 0 may what the owner of its files may: every set is empty, the bounding set too. Source: capabilities(7). */
export function dropCapabilities(builder: ProgramBuilder): void {
  builder.field = "process.capabilities";
  builder.op("CAPS", [builder.data.words([0n, 0n, 0n, 0n, 0n]), ALL_CAPABILITY_SETS], { action: "capset" });
}

type Found = ReturnType<ProgramBuilder["data"]["space"]>;

/** As execvp does, and as the user that it runs as. */
function findProgram(builder: ProgramBuilder, { args, env }: ProcessPlan["process"]): Found {
  const [name = ""] = args;
  const folders = env.find((entry) => entry.startsWith("PATH="))?.slice(5) || "/usr/bin:/bin";
  const candidates = name.includes("/") ? [name] : folders.split(":").map((folder) => `${folder || "."}/${name}`);
  const found = builder.data.space(PATH_BYTES);
  builder.field = `process.args[0] ${JSON.stringify(name)}`;
  const action = name.includes("/") ? "find program" : "search $PATH"; // the words that `describeFailure` knows
  builder.op("FIND", [builder.data.strings(candidates), found], { action });
  return found;
}

function execute(builder: ProgramBuilder, { args, env }: ProcessPlan["process"], program: Found): void {
  const { data } = builder;
  const list = (words: readonly string[]) => data.pointers(words.map((word) => data.string(word)));
  builder.field = `process.args[0] ${JSON.stringify(args[0])}`;
  builder.op("EXEC", [program, list(args), list(env), AT_FDCWD, 0], { action: "execve" });
}
