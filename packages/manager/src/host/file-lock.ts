import { open } from "node:fs/promises";
import type { Syscalls } from "./syscalls.ts";

/** Hold an exclusive lock on a file (made if absent) until the result is disposed or the process dies. */
export async function lockFile(path: string, syscalls: Syscalls): Promise<AsyncDisposable> {
  const file = await open(path, "a", 0o600);
  try {
    await syscalls.flock(file.fd);
  } catch (error) {
    await file.close();
    throw error;
  }
  return { [Symbol.asyncDispose]: () => file.close() };
}
