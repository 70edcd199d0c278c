import { CLONE, PIDFD_SIGNAL_PROCESS_GROUP, POLLIN, SIGCHLD, SIGKILL } from "./constants.ts";
import { AS, BRANCH, CHECK } from "./opcodes.ts";
import type { ProgramBuilder, Register } from "./program.ts";
import { check } from "./tree.ts";

/** A program that a launch program starts and waits for. */
export interface ChildPlan {
  /** Further CLONE_ bits. */
  readonly flags?: number;
  readonly timeoutMs?: number | undefined;
  /** The child's steps; its last one must not return (execve, EXIT). A step that fails is the whole program's failure. */
  readonly run: () => void;
  /** Steps of ours when the child's wait status is not 0, which is in the register; after them the program fails. */
  readonly failed?: (status: Register) => void;
}

const NANOSECONDS_PER_MS = 1_000_000;

/**
 * Fork, run, wait. Fails, with the field of the moment, if the child runs longer than its time (it is then killed, with its process group
 * where the kernel can), or does not end with status 0.
 */
export function runChild(b: ProgramBuilder, plan: ChildPlan): void {
  const child = fork(b, plan.flags ?? 0, plan.run);
  if (plan.timeoutMs !== undefined) limitTime(b, child, plan.timeoutMs);
  const status = waitFor(b, child);
  const good = b.op("BRANCH", [status, BRANCH.equal, 0], { action: "child's status" });
  plan.failed?.(status);
  fail(b, "child's status");
  b.skipOnSuccess(good);
  b.release(status);
}

/** A copy of this process does `run`; its pid, as our pid namespace has it, is in the register. */
export function fork(b: ProgramBuilder, flags: number, run: () => void): Register {
  const child = b.call("clone", [flags | SIGCHLD, 0, 0, 0, 0], { action: "fork" });
  const isParent = b.op("BRANCH", [child, BRANCH.notEqual, 0], { action: "is parent" });
  run();
  b.skipOnSuccess(isParent);
  return child;
}

/** Wait for a child; its status. The pid's register is free then. */
export function waitFor(b: ProgramBuilder, child: Register): Register {
  const result = b.data.space(8);
  b.sys("wait4", [child, result, 0, 0]);
  const status = b.register();
  b.op("LOAD", [result.offset, AS.i32], { to: status, action: "wait status" });
  b.release(child);
  return status;
}

/** Nothing of a child that takes too long is left, and the program fails. */
function limitTime(b: ProgramBuilder, child: Register, timeoutMs: number): void {
  const pidfd = b.call("pidfd_open", [child, 0]);
  const poll = b.data.words([BigInt(POLLIN) << 32n]);
  b.op("STORE", [pidfd, poll.offset, AS.i32]);
  const time = b.data.words([Math.floor(timeoutMs / 1000), (timeoutMs % 1000) * NANOSECONDS_PER_MS]);
  const ready = b.call("ppoll", [poll, 1, time, 0, 0], { action: "wait with timeout" });
  const inTime = b.op("BRANCH", [ready, BRANCH.notEqual, 0], { action: "ended in time" });
  b.sys("pidfd_send_signal", [pidfd, SIGKILL, 0, PIDFD_SIGNAL_PROCESS_GROUP], { tolerate: "any" });
  b.sys("pidfd_send_signal", [pidfd, SIGKILL, 0, 0], { tolerate: "any" });
  b.sys("wait4", [child, 0, 0, 0], { tolerate: "any" });
  fail(b, "ends in time");
  b.skipOnSuccess(inTime);
  b.sys("close", [pidfd]);
  b.release(ready);
  b.release(pidfd);
}

/** A step that cannot succeed: its label is the message. */
export function fail(b: ProgramBuilder, action: string): void {
  check(b, 0, CHECK.type, 0, { action });
}

/** CLONE bits of a child that shares our fds: what it opens, we have. */
export const SHARED_FILES = CLONE.FILES;
