import type { Program, ProgramBuilder, Register } from "@trimaran/linux";
import { newProgram } from "../host/programs.ts";

// Constants of asm-generic: fcntl.h, socket.h, prctl.h, sched.h.
const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_STREAM = 1;
const BACKLOG = 4096;
const PR_SET_CHILD_SUBREAPER = 36;
const PR_SCHED_CORE = 62;
const PR_SCHED_CORE_CREATE = 1;
const PR_SCHED_CORE_SCOPE_PROCESS_GROUP = 2;
const CLONE_ARGS_BYTES = 88;
/** Where the daemon expects its listening socket. Source: packages/monitor/PROTOCOL.md, section 2. */
const LISTEN_FD = 3;

/** How a starter becomes a pod's monitor. */
export interface ServePlan {
  /** Path that gives the monitor's program, such as `/proc/PID/fd/N` of a sealed memfd. */
  readonly image: string;
  readonly socket: string;
  readonly bundle: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly oomScoreAdj: number;
  /** Cgroup files into which the daemon writes `0`. */
  readonly attachFiles: readonly string[];
  /** Give the pod a core-scheduling cookie of its own (`SCHED_CORE`): it has been checked that there are such. */
  readonly coreScheduling: boolean;
}

/**
 * The program that a starter runs on *serve*: bind and listen before anything is printed, clone the daemon, and exec the monitor in
 * it. What is visible of the daemon is as the Go shim has it. Source: contract, sections 2.5 to 2.7.
 */
export function serveProgram(plan: ServePlan): Program {
  const builder = newProgram("shim");
  const { data } = builder;
  const address = socketAddress(plan.socket);
  builder.field = `socket ${plan.socket}`;
  builder.sys("unlinkat", [AT_FDCWD, data.string(plan.socket), 0], { tolerate: ["ENOENT"] });
  const listener = builder.call("socket", [AF_UNIX, SOCK_STREAM | O_NONBLOCK | O_CLOEXEC, 0]);
  builder.sys("umask", [0o177]);
  builder.sys("bind", [listener, data.bytes(address), address.length]);
  builder.sys("umask", [0o022]);
  builder.sys("listen", [listener, BACKLOG]);
  builder.field = "shim";
  if (plan.coreScheduling)
    builder.sys("prctl", [PR_SCHED_CORE, PR_SCHED_CORE_CREATE, 0, PR_SCHED_CORE_SCOPE_PROCESS_GROUP, 0]);
  builder.op("CLONE", [data.space(CLONE_ARGS_BYTES), 0]);
  builder.sys("setpgid", [0, 0]);
  const image = builder.call("openat", [AT_FDCWD, data.string(plan.image), O_RDONLY | O_CLOEXEC, 0]);
  becomeDaemon(plan, listener, builder);
  const argv = data.pointers(plan.argv.map((word) => data.string(word)));
  const envp = data.pointers(Object.entries(plan.env).map(([name, value]) => data.string(`${name}=${value}`)));
  builder.op("EXEC", [data.string(""), argv, envp, image, AT_EMPTY_PATH]);
  return builder.build();
}

function becomeDaemon(plan: ServePlan, listener: Register, builder: ProgramBuilder): void {
  const { data } = builder;
  const nothing = builder.call("openat", [AT_FDCWD, data.string("/dev/null"), O_RDWR | O_CLOEXEC, 0]);
  const log = builder.register();
  builder.sys("openat", [AT_FDCWD, data.string(`${plan.bundle}/log`), O_RDWR | O_NONBLOCK | O_CLOEXEC, 0], {
    tolerate: "any",
    to: log,
  });
  builder.sys("dup3", [nothing, 2, 0]);
  builder.sys("dup3", [log, 2, 0], { tolerate: ["EBADF"] });
  builder.sys("dup3", [nothing, 0, 0]);
  builder.sys("dup3", [nothing, 1, 0]);
  // The listener may be fd 3 already, which dup3 refuses: move it up first.
  const F_DUPFD_CLOEXEC = 1030;
  const high = builder.call("fcntl", [listener, F_DUPFD_CLOEXEC, 64]);
  builder.sys("dup3", [high, LISTEN_FD, 0]);
  builder.sys("prctl", [PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0]);
  writeText(builder, "/proc/self/oom_score_adj", String(plan.oomScoreAdj), ["EACCES"]);
  builder.field = "options shim_cgroup";
  for (const path of plan.attachFiles) writeText(builder, path, "0");
}

function writeText(builder: ProgramBuilder, path: string, text: string, tolerate: readonly string[] = []): void {
  const { data } = builder;
  const file = builder.call("openat", [AT_FDCWD, data.string(path), O_WRONLY | O_CLOEXEC, 0]);
  builder.sys("write", [file, data.bytes(Buffer.from(text)), text.length], { tolerate });
  builder.sys("close", [file]);
  builder.release(file);
}

/** struct sockaddr_un with a path. */
function socketAddress(path: string): Buffer {
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX, 0);
  address.write(path, 2);
  return address;
}
