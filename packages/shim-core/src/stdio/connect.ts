import type { ProgramBuilder, Register } from "@trimaran/linux";
import { newProgram } from "../host/programs.ts";
import { SLOT } from "./slots.ts";

// asm-generic/fcntl.h, poll.h, linux/inotify.h
const AT_FDCWD = -100;
const O_WRONLY = 1;
const O_RDONLY = 0;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const IN_OPEN = 0x20;
const POLLERR = 8;
const FIONREAD = 0x541b;
const S_IFIFO = 0o010000;
// Source of the next three: packages/monitor/PROTOCOL.md, section 5.
const CHECK_TYPE = 1;
const BRANCH_EQUAL = 0;
const BRANCH_AT_LEAST = 3;
const STORE_DECIMAL_NUL = 11;

/** A slot that output goes to. */
export type OutputSlot = typeof SLOT.stdoutTarget | typeof SLOT.stderrTarget;

const WAITING = { [SLOT.stdoutTarget]: SLOT.stdoutWaiting, [SLOT.stderrTarget]: SLOT.stderrWaiting } as const;
const UNREAD = { [SLOT.stdoutTarget]: SLOT.stdoutUnread, [SLOT.stderrTarget]: SLOT.stderrUnread } as const;
const READERS = { [SLOT.stdoutTarget]: SLOT.stdoutReaders, [SLOT.stderrTarget]: SLOT.stderrReaders } as const;

/**
 * Open a client's FIFO for output. Nothing is written before a client has it open: what a quick process wrote would be lost with the
 * last descriptor. With a client there, both ends are held, so that its going and another's coming costs the container nothing, and what it has not read yet is not lost. Without,
 * a writer waits in a slot (it lets the client's open return) and inotify tells of the open; `connectProgram` does the rest then.
 * Source: contract, section 5.2; fifo(7).
 */
export function openOutputFifo(builder: ProgramBuilder, path: string, slot: OutputSlot): void {
  const { data } = builder;
  const name = data.string(path);
  const writer = builder.register();
  const open = (access: number, to: Register, tolerate: readonly string[]): number =>
    builder.sys("openat", [AT_FDCWD, name, access | O_NONBLOCK | O_CLOEXEC, 0], { to, tolerate });
  const there = open(O_WRONLY, writer, ["ENXIO"]);
  const both = builder.register();
  open(O_RDWR, both, []);
  open(O_WRONLY, writer, []);
  builder.sys("close", [both]);
  const watch = builder.call("inotify_init1", [O_NONBLOCK | O_CLOEXEC]);
  builder.sys("inotify_add_watch", [watch, name, IN_OPEN]);
  keep(builder, watch, READERS[slot]);
  builder.skipOnSuccess(there);
  checkFifo(builder, writer);
  keep(builder, writer, WAITING[slot]);
  builder.release(both);
  connectIfThere(builder, slot);
}

/** To be run when inotify has told of an open, and after a restart of the task server. Does nothing where no client is there. */
export function connectProgram(slot: OutputSlot): Uint8Array {
  const builder = newProgram("stdio");
  connectIfThere(builder, slot);
  return builder.build().bytes;
}

/** A writer without a reader polls as POLLERR. With one, open both ends into the target slot: the copying begins. */
function connectIfThere(builder: ProgramBuilder, slot: OutputSlot): void {
  const { data } = builder;
  const waiting = { kind: "slot", index: WAITING[slot] } as const;
  const pollfd = data.space(8); // struct pollfd: int fd, short events, short revents
  const empty = builder.op("STORE", [waiting, pollfd.offset, 4], { tolerate: ["EBADF"] });
  builder.sys("ppoll", [pollfd, 1, data.space(16), 0, 0]); // a timeout of zero: only look
  const events = builder.register();
  builder.op("LOAD", [pollfd.offset + 4, 4], { to: events });
  const absent = builder.op("BRANCH", [events, BRANCH_AT_LEAST, POLLERR << 16]);
  const prefix = "/proc/self/fd/";
  const path = data.bytes(Buffer.from(`${prefix}${"0".repeat(12)}\0`), 1);
  builder.op("STORE", [waiting, path.offset + prefix.length, STORE_DECIMAL_NUL]);
  const reader = builder.call("openat", [AT_FDCWD, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0]);
  keep(builder, reader, UNREAD[slot]);
  const writer = builder.call("openat", [AT_FDCWD, path, O_WRONLY | O_NONBLOCK | O_CLOEXEC, 0]);
  keep(builder, writer, slot);
  builder.op("DROP", [WAITING[slot]]);
  builder.op("DROP", [READERS[slot]]);
  builder.skipOnError(empty);
  builder.skipOnSuccess(absent);
  builder.release(events);
}

/** Its result is 0 if all that was written is with the client: nothing in the process's pipes, nothing unread in the FIFOs. */
export function unreadProgram(): Uint8Array {
  const builder = newProgram("stdio");
  const { data } = builder;
  const total = builder.register(); // register 0: what RUN answers
  for (const index of [SLOT.stdoutSource, SLOT.stderrSource, SLOT.stdoutUnread, SLOT.stderrUnread]) {
    const count = data.space(8);
    builder.sys("ioctl", [{ kind: "slot", index }, FIONREAD, count], { tolerate: ["EBADF"] });
    const bytes = builder.register();
    builder.op("LOAD", [count.offset, 4], { to: bytes });
    const empty = builder.op("BRANCH", [bytes, BRANCH_EQUAL, 0]);
    builder.op("LOAD", [count.offset, 4], { to: total });
    builder.skipOnSuccess(empty);
    builder.release(bytes);
  }
  return builder.build().bytes;
}

/** Open a FIFO without waiting for its other end; anything else of that name is an error. */
export function openFifo(builder: ProgramBuilder, path: string, access: number): Register {
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string(path), access | O_NONBLOCK | O_CLOEXEC, 0]);
  checkFifo(builder, fd);
  return fd;
}

function checkFifo(builder: ProgramBuilder, fd: Register): void {
  builder.op("CHECK", [fd, CHECK_TYPE, S_IFIFO], { action: "open: no FIFO" });
}

/** The slot owns the fd from here on. */
export function keep(builder: ProgramBuilder, fd: Register, slot: number): void {
  builder.op("KEEP", [fd, slot]);
  builder.release(fd);
}
