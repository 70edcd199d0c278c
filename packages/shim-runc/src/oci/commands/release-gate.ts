import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";

/** Let a process that waits at a FIFO go on, and take the FIFO away. Nobody there, or no FIFO: nothing to do. */
export function releaseGate(path: string): void {
  try {
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    writeSync(fd, "0");
    closeSync(fd);
  } catch {
    // it has ended already, or was never made
  }
  rmSync(path, { force: true });
}
