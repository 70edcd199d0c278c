import type { Process, ProgramBuilder, StdioPlan } from "@trimaran/linux";
import type { Launch } from "@trimaran/monitor";
import { SLOT } from "@trimaran/shim-core";

const FDCWD = -100;
const F_DUPFD_CLOEXEC = 1030;
const CLOEXEC = 0o2000000;
const O_RDWR = 2;
const S_IFIFO = 0o010000;
const PR_SET_PDEATHSIG = 1;
const SIGTERM = 15;
/** Where the gate's FIFO is, and where fds to be preserved may be. */
const GATE_SLOT = 9;
const PRESERVED_SLOTS = [3, 4, 5, 6, 7, 8, 16, 17, 18, 19, 20, 21];

/** What a process of ours gets to read from, write to, inherit and wait on. */
export interface Wiring {
  readonly stdio: StdioPlan;
  readonly streams: NonNullable<Launch["streams"]>;
  readonly preserved: readonly number[];
  readonly gate: "monitor" | { readonly slot: number };
  prelude(b: ProgramBuilder): void;
}

/** How it is wired. */
export interface WiringOptions {
  readonly process: Pick<Process, "terminal" | "consoleSize">;
  /** The master goes elsewhere: it is not copied to our own terminal. */
  readonly consoleSocket: string | undefined;
  /** How many of our fds from 3 on the program inherits. */
  readonly preserve: number;
  /** A FIFO to be made and waited on: the process outlives its monitor. */
  readonly fifo: string | undefined;
}

/** Our own 0, 1, 2 directly, or a terminal. Throws for more fds than there are places for. */
export function wire({ process: { terminal, consoleSize }, consoleSocket, preserve, fifo }: WiringOptions): Wiring {
  if (preserve > PRESERVED_SLOTS.length)
    throw new Error(`--preserve-fds ${preserve}: at most ${PRESERVED_SLOTS.length}`);
  const copied = terminal && consoleSocket === undefined;
  const preserved = PRESERVED_SLOTS.slice(copied ? 2 : 0, (copied ? 2 : 0) + preserve);
  if (preserved.length < preserve) throw new Error(`--preserve-fds ${preserve}: at most ${preserved.length}`);
  return {
    stdio: terminal
      ? {
          kind: "terminal",
          slot: SLOT.terminal,
          ...(consoleSize ?? (copied ? ownSize() : {})),
          prelude: (b) => copied && keepStandard(b, [0, 1], 3),
        }
      : { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude: (b) => keepStandard(b, [0, 1, 2], 0) },
    streams: copied
      ? [
          { from: 3, to: SLOT.terminal, keepTarget: true, uncounted: true },
          { from: SLOT.terminal, to: 4, keepTarget: true },
        ]
      : [],
    preserved,
    gate: fifo === undefined ? "monitor" : { slot: GATE_SLOT },
    prelude(b) {
      b.sys("prctl", [PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0]); // the monitor's own: it ends with us
      if (fifo !== undefined) makeFifo(b, fifo);
      if (preserved.length > 0) takeOurs(b, preserved);
    },
  };
}

/** The size of the terminal that we have ourselves, in characters. */
function ownSize(): { readonly width?: number; readonly height?: number } {
  const { stdout } = process;
  return stdout.isTTY ? { width: stdout.columns, height: stdout.rows } : {};
}

/** The monitor has our streams as its own 0, 1, 2. */
function keepStandard(b: ProgramBuilder, fds: readonly number[], firstSlot: number): void {
  fds.forEach((fd, i) => {
    const copy = b.call("fcntl", [fd, F_DUPFD_CLOEXEC, 3], { action: "dup stdio" });
    b.op("KEEP", [copy, firstSlot + i]);
    b.release(copy);
  });
}

/** Opened for both directions, so that the open waits for nobody. */
function makeFifo(b: ProgramBuilder, path: string): void {
  b.field = "start gate";
  b.sys("mknodat", [FDCWD, b.data.string(path), S_IFIFO | 0o600, 0]);
  const fd = b.call("openat", [FDCWD, b.data.string(path), O_RDWR | CLOEXEC], { action: "open FIFO" });
  b.op("KEEP", [fd, GATE_SLOT]);
  b.release(fd);
}

/** Our fds from 3 on, out of our own table. */
function takeOurs(b: ProgramBuilder, slots: readonly number[]): void {
  b.field = "--preserve-fds";
  const ours = b.call("pidfd_open", [process.pid, 0]);
  slots.forEach((slot, i) => {
    const fd = b.call("pidfd_getfd", [ours, 3 + i, 0], { action: `take fd ${3 + i}` });
    b.op("KEEP", [fd, slot]);
    b.release(fd);
  });
  b.sys("close", [ours]);
  b.release(ours);
}
