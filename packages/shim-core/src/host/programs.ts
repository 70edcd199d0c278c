import { ProgramBuilder, toArchitecture } from "@trimaran/linux";
import { SLOT } from "../stdio/slots.ts";

const TIOCSWINSZ = 0x5414n;

/** A builder for this machine. */
export function newProgram(field: string): ProgramBuilder {
  const builder = new ProgramBuilder(toArchitecture(process.arch));
  builder.field = field;
  return builder;
}

/** Send a signal through the process's pidfd. */
export function signalProgram(signal: number): Uint8Array {
  const builder = newProgram("signal");
  builder.sys("pidfd_send_signal", [{ kind: "slot", index: SLOT.pidfd }, signal, 0, 0]);
  return builder.build().bytes;
}

/** Drop our own writer of the stdin FIFO: input ends when the last client has closed its end. */
export function closeStdinProgram(): Uint8Array {
  const builder = newProgram("stdin");
  builder.op("DROP", [SLOT.stdinHold]);
  return builder.build().bytes;
}

/** Tell the terminal its size, in characters. */
export function resizeProgram(width: number, height: number): Uint8Array {
  const builder = newProgram("terminal");
  const size = Buffer.alloc(8); // struct winsize: rows, columns, two unused
  size.writeUInt16LE(height & 0xffff, 0);
  size.writeUInt16LE(width & 0xffff, 2);
  builder.sys("ioctl", [{ kind: "slot", index: SLOT.terminal }, TIOCSWINSZ, builder.data.bytes(size)]);
  return builder.build().bytes;
}
