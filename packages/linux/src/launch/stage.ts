import type { IdMapping, Linux } from "../spec/linux.ts";
import type { Process } from "../spec/process.ts";
import { AT, CLONE, CLONE_ARGS_CGROUP, F, O, S, SIZE } from "./constants.ts";
import { CHECK, SLOT } from "./opcodes.ts";
import type { CgroupPlan, Gate, StdioPlan } from "./plan.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { check, writeText } from "./tree.ts";

/** Steps that init and exec share and that need the host: they come first in the child, or before it. */

/** The first clone, into the cgroup if there is one to go into. `slots`: bit mask of slots that the monitor closes then. */
export function cloneFirst(b: ProgramBuilder, flags: number, into: string | undefined, slots: number): void {
  const args = b.data.space(SIZE.cloneArgs);
  let all = BigInt(flags);
  let close = slots;
  if (into !== undefined) {
    b.field = "linux.cgroupsPath";
    const opened = b.call("openat", [AT.FDCWD, b.data.string(into), O.PATH | O.CLOEXEC], { action: "open cgroup" });
    b.op("KEEP", [opened, SLOT.cgroup]);
    b.op("STORE", [opened, args.offset + CLONE_ARGS_CGROUP, 8]);
    b.release(opened);
    all |= BigInt(CLONE.INTO_CGROUP);
    close |= 1 << SLOT.cgroup;
  }
  b.data.setWord(args, all);
  b.field = "process";
  b.op("CLONE", [args, 0, close], { action: "clone3" });
}

/** A later clone: a sibling goes on, this process ends. */
export function cloneSibling(b: ProgramBuilder, flags: number): void {
  const args = b.data.space(SIZE.cloneArgs);
  b.data.setWord(args, BigInt(flags | CLONE.PARENT));
  b.field = "process";
  b.op("CLONE", [args, 1, 0], { action: "clone3" });
}

/** Bits of the slots that become the child's 0, 1, 2. */
export function stdioSlots(stdio: StdioPlan): number {
  return stdio.kind === "terminal" ? 0 : (1 << stdio.stdin) | (1 << stdio.stdout) | (1 << stdio.stderr);
}

/** 0, 1, 2 from their slots. */
export function takeStdio(b: ProgramBuilder, stdio: StdioPlan): void {
  if (stdio.kind !== "slots") return;
  b.field = "stdio";
  [stdio.stdin, stdio.stdout, stdio.stderr].forEach((index, fd) => {
    b.sys("dup3", [{ kind: "slot", index }, fd, 0]);
  });
}

/** Where the gate's FIFO is kept. */
export const GATE_FD = 199;
const FIRST_HIGH_FD = 100;

/**
 * The gate's FIFO to a number of its own, and the fds that the program is to inherit to 3, 4 …: by way of higher numbers, because a slot's
 * fd may have one of these. What else is open below 100 may be overwritten. CLOSE keeps them from here on.
 */
export function takeExtra(b: ProgramBuilder, gate: Gate | undefined, preserved: readonly number[]): void {
  b.field = "stdio";
  if (typeof gate === "object") {
    b.sys("dup3", [{ kind: "slot", index: gate.slot }, GATE_FD, O.CLOEXEC]);
    b.kept.push(GATE_FD);
  }
  const high = preserved.map((index) => b.call("fcntl", [{ kind: "slot", index }, F.DUPFD_CLOEXEC, FIRST_HIGH_FD]));
  high.forEach((fd, i) => {
    b.sys("dup3", [fd, 3 + i, 0]);
    b.sys("close", [fd]);
    b.release(fd);
    b.kept.push(3 + i);
  });
}

/** Close everything above 2 but the sync socket, what the builder keeps, and these registers. */
export function closeAllBut(b: ProgramBuilder, keep: readonly Register[]): void {
  const all = [...keep.map(({ index }) => (0x8000_0000 | index) >>> 0), ...b.kept];
  b.op("CLOSE", [b.data.halves(all), all.length], { action: "close_range" });
}

/** The user owns what the streams are, so that /dev/stdout can be reopened; never a device of the host's. */
export function ownStdio(b: ProgramBuilder, stdio: StdioPlan, owner: number | undefined): void {
  if (stdio.kind === "terminal" || owner === undefined || owner === 0) return;
  b.field = "process.user.uid";
  for (const fd of [0, 1, 2]) {
    const device = check(b, fd, CHECK.type, S.IFCHR, { tolerate: ["EXDEV"] });
    b.sys("fchown", [fd, owner, -1], { tolerate: "any" });
    b.skipOnSuccess(device);
  }
}

/** The process's uid as the host has it; undefined if nobody told us (a joined user namespace without mappings). */
export function hostUid(linux: Linux, process: Process): number | undefined {
  if (linux.namespaces.has("user") && linux.uidMappings.length === 0) return undefined;
  return toHostId(linux.uidMappings, process.user.uid);
}

/** An id of the container as the host has it; undefined if no line maps it. No lines: the same. */
export function toHostId(mappings: readonly IdMapping[], id: number): number | undefined {
  if (mappings.length === 0) return id;
  const line = mappings.find(({ containerId, size }) => id >= containerId && id < containerId + size);
  return line === undefined ? undefined : line.hostId + id - line.containerId;
}

/** Every v1 hierarchy by `tasks`: no wait for a grace period, unlike cgroup.procs. */
export function attachCgroup(b: ProgramBuilder, cgroup: Pick<CgroupPlan, "attachFiles">): void {
  b.field = "linux.cgroupsPath";
  for (const file of cgroup.attachFiles) {
    const fd = b.call("openat", [AT.FDCWD, b.data.string(file), O.WRONLY | O.CLOEXEC], { action: "open cgroup" });
    writeText(b, fd, "0", "join cgroup");
    b.release(fd);
  }
}

/** Into a class of service, and its monitoring group: in this order. */
export function joinResctrl(b: ProgramBuilder, tasks: readonly string[] = []): void {
  b.field = "linux.intelRdt";
  for (const file of tasks) {
    const fd = b.call("openat", [AT.FDCWD, b.data.string(file), O.WRONLY | O.CLOEXEC], { action: `open ${file}` });
    writeText(b, fd, "0", `join ${file}`);
    b.release(fd);
  }
}

/** Written while we are privileged and see the host's /proc. */
export function setOomScore(b: ProgramBuilder, process: Process | undefined): void {
  if (process?.oomScoreAdj === undefined) return;
  b.field = "process.oomScoreAdj";
  writeProcSelf(b, "oom_score_adj", String(process.oomScoreAdj));
}

/** One write to a file of the host's /proc/self. */
export function writeProcSelf(b: ProgramBuilder, file: string, text: string): void {
  const fd = b.call("openat", [AT.FDCWD, b.data.string(`/proc/self/${file}`), O.WRONLY | O.CLOEXEC], {
    action: `open ${file}`,
  });
  writeText(b, fd, text);
  b.release(fd);
}

/** All CPUs, or these: a narrow affinity of the monitor's is not inherited. */
export function setAffinity(b: ProgramBuilder, cpus: readonly number[] | undefined, field: string): void {
  const mask = new Uint8Array(cpus === undefined ? 128 : 1024).fill(cpus === undefined ? 0xff : 0);
  for (const cpu of cpus ?? []) mask[cpu >> 3] = (mask[cpu >> 3] ?? 0) | (1 << (cpu & 7));
  b.field = field;
  const args: Operand[] = [0, mask.length, b.data.bytes(mask)];
  b.sys("sched_setaffinity", args, cpus === undefined ? { tolerate: "any" } : {});
}

const NOFILE = 7;
/** What the program itself may need before exec. */
const NOFILE_MARGIN = 4096n;

/**
 * Exact limits. `early`: while still privileged, before a user namespace: then NOFILE stays high enough for the rest of the
 * program, and a second call brings it down.
 */
export function setLimits(b: ProgramBuilder, process: Process, moment: "early" | "after early" | "once"): void {
  process.rlimits.forEach(({ name, resource, soft, hard }, i) => {
    if (moment === "after early" && resource !== NOFILE) return;
    const raise = moment === "early" && resource === NOFILE;
    const atLeast = (limit: bigint) => (raise && limit < NOFILE_MARGIN ? NOFILE_MARGIN : limit);
    b.field = `process.rlimits[${i}] ${JSON.stringify(name)}`;
    b.sys("prlimit64", [0, resource, b.data.words([atLeast(soft), atLeast(hard)]), 0]);
  });
}

const SIG_IGN = 1;
/** Of the kernel: the size of its signal set. */
const SIGSET_BYTES = 8;

/** Have a signal ignored, also by what is executed next. The data is struct sigaction of the kernel, on 64 bits: handler, flags, restorer, mask. */
export function ignoreSignal(b: ProgramBuilder, signal: number): void {
  b.sys("rt_sigaction", [signal, b.data.words([SIG_IGN, 0, 0, 0]), 0, SIGSET_BYTES]);
}
