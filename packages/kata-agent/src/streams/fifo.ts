import { constants, openSync, rmdirSync, rmSync, unlinkSync } from "node:fs";
import { lazyNative, SyscallError } from "@trimaran/linux";

const AT_FDCWD = -100;
const S_IFIFO_0600 = 0o010600;

const native = lazyNative();

/** Make a FIFO, new. Throws SyscallError. */
export function makeFifo(path: string): void {
  const make = () => native.check("mknodat", [AT_FDCWD, Buffer.from(`${path}\0`), S_IFIFO_0600, 0], path);
  try {
    make();
  } catch (error) {
    if (!(error instanceof SyscallError && error.errno === "EEXIST")) throw error;
    unlinkSync(path);
    make();
  }
}

/** Remove a process's FIFOs and their folder; gone is as good. By name: a recursive removal costs an emulated guest as much as all else of an exec's end. */
export function removeStreams(directory: string, fifos: readonly string[]): void {
  try {
    for (const path of fifos) unlinkSync(path);
    rmdirSync(directory);
  } catch {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The reader's end, which waits for nobody. Read from it once there is a writer: until then it is at its end. */
export function openReader(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** The writer's end. Throws ENXIO where nobody reads. */
export function openWriter(path: string): number {
  return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
}
