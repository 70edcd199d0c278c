import { existsSync } from "node:fs";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";

const LOCK_FILE = "daemon.lock";

/**
 * Take a directory for this process alone, until disposed or dead, by a lock on `daemon.lock` in it. The file stays: removing it
 * would let two processes hold locks of two files with one name. Throws FailedPrecondition naming the process that has it.
 */
export async function lockDirectory(directory: string, syscalls: Syscalls): Promise<AsyncDisposable> {
  const file = await openLock(directory);
  try {
    if (!syscalls.tryFlock(file.fd)) throw await taken(directory);
    await file.truncate();
    await file.write(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { [Symbol.asyncDispose]: () => file.close() };
}

/**
 * Share a directory with other processes that do, until disposed or dead: no daemon takes it meanwhile. Throws FailedPrecondition
 * if a process has it for itself.
 */
export async function shareDirectory(directory: string, syscalls: Syscalls): Promise<AsyncDisposable> {
  const file = await openLock(directory);
  if (syscalls.tryFlock(file.fd, "shared")) return { [Symbol.asyncDispose]: () => file.close() };
  await file.close();
  throw await taken(directory);
}

/** The lock of `lockDirectory` for a moment, if nobody else has any: undefined otherwise. Leaves no pid. */
export async function tryLockDirectory(directory: string, syscalls: Syscalls): Promise<AsyncDisposable | undefined> {
  const file = await openLock(directory);
  if (syscalls.tryFlock(file.fd)) return { [Symbol.asyncDispose]: () => file.close() };
  await file.close();
  return undefined;
}

function openLock(directory: string): Promise<FileHandle> {
  return open(join(directory, LOCK_FILE), "a+", 0o600);
}

async function taken(directory: string): Promise<ManagerError> {
  const pid = (await readFile(join(directory, LOCK_FILE), "utf8")).trim();
  // The pid may be that of a daemon long gone, if commands without a daemon are what is in the way.
  const who = pid !== "" && existsSync(`/proc/${pid}`) ? `another daemon (pid ${pid})` : "another trimaran command";
  return new ManagerError(Code.FailedPrecondition, `${directory}: ${who} uses it`, {
    hint: "trimaran daemon --root DIR --state DIR",
  });
}
