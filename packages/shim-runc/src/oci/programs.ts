import { type ProgramBuilder, sendFd } from "@trimaran/linux";
import { newProgram, SLOT } from "@trimaran/shim-core";

const TIOCSWINSZ = 0x5414;

/** Small programs that run in the monitor, on a process's slots. */

/** Send a terminal's master to whoever listens, and keep nothing of it. */
export function sendConsoleProgram(path: string): Uint8Array {
  return program("--console-socket", (b) => {
    sendFd(b, SLOT.terminal, path, "/dev/ptmx");
    b.op("DROP", [SLOT.terminal]);
  });
}

/** Send a signal through the process's pidfd. */
export function signalProgram(signal: number): Uint8Array {
  return program("signal", (b) => {
    b.sys("pidfd_send_signal", [{ kind: "slot", index: SLOT.pidfd }, signal, 0, 0]);
  });
}

/** Tell the terminal its size, in characters. */
export function resizeProgram(width: number, height: number): Uint8Array {
  return program("terminal", (b) => {
    const size = Buffer.alloc(8); // struct winsize: rows, columns, two unused
    size.writeUInt16LE(height & 0xffff, 0);
    size.writeUInt16LE(width & 0xffff, 2);
    b.sys("ioctl", [{ kind: "slot", index: SLOT.terminal }, TIOCSWINSZ, b.data.bytes(size)]);
  });
}

function program(field: string, write: (b: ProgramBuilder) => void): Uint8Array {
  const b = newProgram(field);
  write(b);
  return b.build().bytes;
}
