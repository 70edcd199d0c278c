import { constants, openSync, rmSync } from "node:fs";
import { lazyNative } from "@trimaran/linux";

const AT_FDCWD = -100;
const S_IFIFO_0600 = 0o010600;

const native = lazyNative();

/** Make a FIFO, new. Throws SyscallError. */
export function makeFifo(path: string): void {
  rmSync(path, { force: true });
  native.check("mknodat", [AT_FDCWD, Buffer.from(`${path}\0`), S_IFIFO_0600, 0], path);
}

/** The reader's end, which waits for nobody. Read from it once there is a writer: until then it is at its end. */
export function openReader(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
}

/** The writer's end. Throws ENXIO where nobody reads. */
export function openWriter(path: string): number {
  return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
}
