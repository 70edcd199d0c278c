import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";

/**
 * Take a directory for this process alone, until disposed or dead, by a lock on `daemon.lock` in it. The file stays: removing it
 * would let two processes hold locks of two files with one name. Throws FailedPrecondition naming the process that has it.
 */
export async function lockDirectory(directory: string, syscalls: Syscalls): Promise<AsyncDisposable> {
  const path = join(directory, "daemon.lock");
  const file = await open(path, "a+", 0o600);
  try {
    if (!syscalls.tryFlock(file.fd)) throw await taken(directory, path);
    await file.truncate();
    await file.write(`${process.pid}\n`);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { [Symbol.asyncDispose]: () => file.close() };
}

async function taken(directory: string, path: string): Promise<ManagerError> {
  const pid = (await readFile(path, "utf8")).trim() || "unknown";
  return new ManagerError(Code.FailedPrecondition, `${directory}: another daemon (pid ${pid}) uses it`, {
    hint: "trimaran daemon --root DIR --state DIR",
  });
}
