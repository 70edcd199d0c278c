import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, fstatSync, openSync } from "node:fs";
import { constants } from "node:os";
import { test } from "node:test";
import { errnoName, errnoNumber, errnoOf, SyscallError, toSyscallError } from "./errno.ts";
import { lazyNative } from "./native.ts";
import { SYSCALL, syscallNumber, toArchitecture } from "./numbers.ts";
import { LOCK, lockFile, openMemfd, openPidfd, sendPidfdSignal } from "./pidfd.ts";
import { SIGNAL, signalName, signalNumber } from "./signals.ts";

test("both tables have the same names and no number twice", () => {
  assert.deepEqual(Object.keys(SYSCALL.x86_64).sort(), Object.keys(SYSCALL.arm64).sort());
  for (const table of Object.values(SYSCALL))
    assert.equal(new Set(Object.values(table)).size, Object.keys(table).length);
  assert.deepEqual(
    [syscallNumber("openat2", "x86_64"), syscallNumber("mount", "x86_64"), syscallNumber("mount", "arm64")],
    [437, 165, 40],
  );
  assert.throws(() => toArchitecture("ia32"), RangeError);
});

test("errno and signal tables agree with Node's", () => {
  for (const [name, number] of Object.entries(constants.errno)) assert.equal(errnoNumber(name), number, name);
  for (const [name, number] of Object.entries(constants.signals)) assert.equal(signalNumber(name), number, name);
  assert.deepEqual(
    [errnoName(11), errnoName(35), errnoName(95), errnoName(9999)],
    ["EAGAIN", "EDEADLK", "EOPNOTSUPP", "errno 9999"],
  );
  for (const [name, number] of Object.entries(SIGNAL)) assert.equal(signalName(number), name);
});

test("signal names in all their forms", () => {
  assert.deepEqual(
    ["TERM", "sigkill", "9", "SIGRTMIN", "RTMIN+3", "SIGRTMAX-1", "64"].map(signalNumber),
    [15, 9, 9, 34, 37, 63, 64],
  );
  for (const text of ["", "0", "65", "SIG", "NOPE", "RTMIN+31", "RTMAX-31", "RTMIN-1", "-9", "constructor", "9 "]) {
    assert.equal(signalNumber(text), undefined, text);
  }
  assert.deepEqual([signalName(34), signalName(37), signalName(0)], ["SIGRTMIN", "SIGRTMIN+3", "signal 0"]);
});

test("raw calls: results, -errno, and errors that name the call", () => {
  const native = lazyNative();
  assert.equal(native.syscall("getpid"), process.pid);
  assert.equal(native.syscall("close", -1), -9);
  const open = () => native.check("openat2", [-100, Buffer.from("/nope\0"), Buffer.alloc(24), 24], "/nope");
  assert.throws(open, {
    name: "SyscallError",
    errno: "ENOENT",
    errnoNumber: 2,
    syscall: "openat2",
    path: "/nope",
    message: 'ENOENT from openat2 "/nope"',
  });
  const fs = toSyscallError(catchError(() => openSync("/nope", "r")));
  assert.ok(fs instanceof SyscallError && fs.errno === "ENOENT" && fs.syscall === "open" && errnoOf(fs) === "ENOENT");
});

function catchError(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

test("a pidfd signals its process, and says when that is gone", async () => {
  const native = lazyNative();
  const child = spawn("sleep", ["60"]);
  const pidfd = openPidfd(native, child.pid ?? 0);
  assert.equal(sendPidfdSignal(native, pidfd, SIGNAL.SIGKILL), true);
  assert.deepEqual(await once(child, "exit"), [null, "SIGKILL"]);
  assert.equal(sendPidfdSignal(native, pidfd, SIGNAL.SIGKILL), false);
  closeSync(pidfd);
  assert.throws(() => openPidfd(native, 2 ** 22 + 1), { errno: "ESRCH" });
});

test("a lock is refused to a second opener", () => {
  const native = lazyNative();
  const fd = openMemfd(native, "lock");
  const again = openSync(`/proc/self/fd/${fd}`, "r+");
  assert.equal(fstatSync(fd).size, 0);
  assert.equal(lockFile(native, fd, LOCK.exclusive | LOCK.nonBlocking), true);
  assert.equal(lockFile(native, again, LOCK.exclusive | LOCK.nonBlocking), false);
  closeSync(again);
  closeSync(fd);
});
