import { dirname } from "node:path";
import type { Data, ProgramBuilder, Register, StdioPlan } from "@trimaran/linux";
import { keep, type OutputSlot, openFifo, openOutputFifo } from "./connect.ts";
import { SLOT } from "./slots.ts";
import type { Stdio, StdioTarget } from "./uris.ts";

// asm-generic/fcntl.h
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_APPEND = 0o2000;
const O_CLOEXEC = 0o2000000;
const AT_FDCWD = -100;

/** A copy that the monitor makes, by slots. */
export interface Stream {
  readonly from: number;
  readonly to: number;
  readonly keepTarget?: boolean;
  readonly uncounted?: boolean;
}

/** How a process gets its stdio: steps for its program, and the copies that the monitor makes. */
export interface StdioLaunch {
  readonly plan: StdioPlan;
  readonly streams: readonly Stream[];
  readonly watches: readonly number[];
}

/** Owner of the pipes that the container gets; `/dev/stdout` can be opened again by that user only. */
export interface StdioOwner {
  readonly uid: number;
  readonly gid: number;
}

/** FIFOs that a logger reads, where stdout is a `binary:` URI. */
export interface LoggerFifos {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Plan the stdio of a process. Without a terminal it gets pipes of its own, which the monitor copies from and to the client's FIFOs: a
 * client that goes costs it nothing, and its end of file has an owner. Source: contract, section 5.
 */
export function planStdio(stdio: Stdio, owner: StdioOwner, loggers?: LoggerFifos): StdioLaunch {
  if (stdio.terminal) return planTerminal(stdio);
  const streams: Stream[] = [];
  if (stdio.stdin.kind === "fifo") streams.push({ from: SLOT.stdinSource, to: SLOT.stdinTarget, uncounted: true });
  if (copied(stdio.stdout)) streams.push({ from: SLOT.stdoutSource, to: SLOT.stdoutTarget });
  if (copied(stdio.stderr)) streams.push({ from: SLOT.stderrSource, to: SLOT.stderrTarget });
  return {
    streams,
    watches: [SLOT.stdoutReaders, SLOT.stderrReaders],
    plan: {
      kind: "slots",
      stdin: SLOT.childStdin,
      stdout: SLOT.childStdout,
      stderr: SLOT.childStderr,
      prelude(builder) {
        input(builder, stdio.stdin, owner);
        output(
          builder,
          "stdout",
          stdio.stdout,
          owner,
          [SLOT.childStdout, SLOT.stdoutSource, SLOT.stdoutTarget],
          loggers?.stdout,
        );
        output(
          builder,
          "stderr",
          stdio.stderr,
          owner,
          [SLOT.childStderr, SLOT.stderrSource, SLOT.stderrTarget],
          loggers?.stderr,
        );
      },
    },
  };
}

function planTerminal(stdio: Stdio): StdioLaunch {
  const streams: Stream[] = [];
  if (stdio.stdin.kind === "fifo")
    streams.push({ from: SLOT.stdinSource, to: SLOT.terminal, keepTarget: true, uncounted: true });
  if (copied(stdio.stdout)) streams.push({ from: SLOT.terminal, to: SLOT.stdoutTarget });
  return {
    streams,
    watches: [SLOT.stdoutReaders],
    plan: {
      kind: "terminal",
      slot: SLOT.terminal,
      prelude(builder) {
        builder.field = "stdin";
        if (stdio.stdin.kind === "fifo") clientInput(builder, stdio.stdin.path);
        builder.field = "stdout";
        if (copied(stdio.stdout)) openTarget(builder, stdio.stdout, SLOT.stdoutTarget);
      },
    },
  };
}

/** Whether the monitor copies to it. A logger reads the container's pipe itself. */
function copied(target: StdioTarget): target is OutputTarget {
  return target.kind === "fifo" || target.kind === "file";
}

function input(builder: ProgramBuilder, source: StdioTarget, owner: StdioOwner): void {
  builder.field = "stdin";
  if (source.kind !== "fifo") {
    keep(builder, openNull(builder, O_RDONLY), SLOT.childStdin);
    return;
  }
  clientInput(builder, source.path);
  const { readEnd, writeEnd } = pipe(builder);
  chown(builder, readEnd, owner);
  keep(builder, readEnd, SLOT.childStdin);
  keep(builder, writeEnd, SLOT.stdinTarget);
}

/** The client's FIFO, read without waiting for it to come, and held open by a writer of ours until CloseIO. */
function clientInput(builder: ProgramBuilder, path: string): void {
  keep(builder, openFifo(builder, path, O_RDONLY), SLOT.stdinSource);
  keep(builder, openFifo(builder, path, O_WRONLY), SLOT.stdinHold);
}

type OutputTarget = Extract<StdioTarget, { kind: "fifo" | "file" }>;
type OutputSlots = readonly [child: number, source: number, target: OutputSlot];

function output(
  builder: ProgramBuilder,
  field: string,
  target: StdioTarget,
  owner: StdioOwner,
  [child, source, kept]: OutputSlots,
  logger: string | undefined,
): void {
  builder.field = field;
  if (target.kind === "logger" && logger !== undefined) {
    loggerOutput(builder, logger, owner, child, kept);
    return;
  }
  if (!copied(target)) {
    keep(builder, openNull(builder, O_WRONLY), child);
    return;
  }
  openTarget(builder, target, kept);
  const { readEnd, writeEnd } = pipe(builder);
  chown(builder, writeEnd, owner);
  keep(builder, writeEnd, child);
  keep(builder, readEnd, source);
}

/** The container writes to the logger itself; a second writer stays here until Delete, as upstream keeps one. */
function loggerOutput(builder: ProgramBuilder, fifo: string, owner: StdioOwner, child: number, kept: number): void {
  const writer = openFifo(builder, fifo, O_WRONLY);
  keep(builder, writer, kept);
  const own = builder.call("openat", [AT_FDCWD, builder.data.string(fifo), O_WRONLY | O_CLOEXEC, 0]);
  chown(builder, own, owner);
  keep(builder, own, child);
  builder.sys("unlinkat", [AT_FDCWD, builder.data.string(fifo), 0]); // both ends are open: its name has done its work
}

/** The client's FIFO (see `connect.ts`), or the end of a file. */
function openTarget(builder: ProgramBuilder, target: OutputTarget, slot: OutputSlot): void {
  if (target.kind === "fifo") {
    openOutputFifo(builder, target.path, slot);
    return;
  }
  for (const folder of foldersOf(target.path))
    builder.sys("mkdirat", [AT_FDCWD, builder.data.string(folder), 0o755], { tolerate: ["EEXIST"] });
  const flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
  keep(builder, builder.call("openat", [AT_FDCWD, builder.data.string(target.path), flags, 0o644]), slot);
}

/** The folders that lead to a file, outermost first. */
function foldersOf(path: string): string[] {
  const folder = dirname(path);
  return folder === "/" || folder === "." ? [] : [...foldersOf(folder), folder];
}

function openNull(builder: ProgramBuilder, access: number): Register {
  return builder.call("openat", [AT_FDCWD, builder.data.string("/dev/null"), access | O_CLOEXEC, 0]);
}

function pipe(builder: ProgramBuilder): { readonly readEnd: Register; readonly writeEnd: Register } {
  const fds = builder.data.space(8);
  builder.sys("pipe2", [fds, O_CLOEXEC]);
  return { readEnd: load(builder, fds.offset), writeEnd: load(builder, fds.offset + 4) };
}

function load(builder: ProgramBuilder, offset: Data["offset"]): Register {
  const to = builder.register();
  builder.op("LOAD", [offset, 4], { to });
  return to;
}

function chown(builder: ProgramBuilder, fd: Register, { uid, gid }: StdioOwner): void {
  if (uid !== 0 || gid !== 0) builder.sys("fchown", [fd, uid, gid]);
}
