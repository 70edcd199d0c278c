import { constants, openSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Bundle } from "../bundles/bundle.ts";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";

const LIMIT_BYTES = 1 << 20;
const WAIT_MS = 5000;
const PAUSE_MS = 10;

/**
 * A new file in the bundle for what `start` prints. It is locked by the descriptor that the shim inherits, hence for as long as
 * `start` runs: a manager that comes after a crash waits for that, or it would miss a shim that is just being born.
 */
export function openStartOutput(bundle: Bundle, syscalls: Syscalls): number {
  const { O_RDWR, O_CREAT, O_EXCL, O_APPEND } = constants;
  const fd = openSync(pathOf(bundle), O_RDWR | O_CREAT | O_EXCL | O_APPEND, 0o600);
  syscalls.tryFlock(fd);
  return fd;
}

/** All of it. Throws FailedPrecondition above 1 MiB. */
export async function readStartOutput(bundle: Bundle): Promise<Buffer> {
  await using file = await open(pathOf(bundle));
  return await readWhole(file);
}

/**
 * What a `start` of an earlier manager has printed, when it has ended or after 5 s (a shim may hold its stdout for good); undefined
 * if none was run.
 */
export async function awaitStartOutput(bundle: Bundle, syscalls: Syscalls): Promise<Buffer | undefined> {
  let file: FileHandle;
  try {
    file = await open(pathOf(bundle));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  await using _file = file;
  for (const until = Date.now() + WAIT_MS; !syscalls.tryFlock(file.fd) && Date.now() < until; ) await delay(PAUSE_MS);
  return await readWhole(file);
}

async function readWhole(file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  if (size <= LIMIT_BYTES) return file.readFile();
  throw new ManagerError(Code.FailedPrecondition, `shim's start: ${size} bytes of output, the limit is ${LIMIT_BYTES}`);
}

function pathOf(bundle: Bundle): string {
  return join(bundle.path, "start-output");
}
