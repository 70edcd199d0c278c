import { describeFailure } from "@trimaran/linux";
import {
  type ContainerProcess,
  type CreateRequest,
  type Host,
  type MonitoredProcess,
  newProgram,
  SLOT,
  type StdioUris,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

const CLONE_ARGS_BYTES = 88;
const FIONREAD = 0x541b;
const EBADF = 9;
/** Two looks at what a stream has moved are the same after a few tries: its pipe is full, or empty, and nobody else touches it. */
const LOOKS = 1000;

/** The other end of each pipe that a process would have: what it writes is written into `stdout`, say. */
export type HeldStream = "stdin" | "stdout" | "stderr";

/** Whatever runs programs on a process's slots. */
type Runner = Pick<ContainerProcess, "run">;

const CHILD_SLOT = { stdin: SLOT.childStdin, stdout: SLOT.childStdout, stderr: SLOT.childStderr } as const;
const SOURCE_SLOT = { stdout: SLOT.stdoutSource, stderr: SLOT.stderrSource } as const;

/**
 * Open the stdio of a process in the guest: an entry of the monitor with the client's FIFOs, files or logger, and the pipes of a process. The process
 * of the entry itself ends at once; the pipes that it would have had stay in their slots, and what comes from the guest is written into them. So the
 * output goes on its way whatever happens to the task server. A key that is known gives its entry.
 */
export async function openHolder(
  host: Host,
  key: string,
  stdio: StdioUris,
  container: CreateRequest,
): Promise<MonitoredProcess> {
  if (host.has(key)) return findHolder(host, key);
  const plain = { ...stdio, terminal: false, stderr: stdio.terminal ? "" : stdio.stderr }; // the terminal is in the guest
  const launch = await host.openStdio(key, plain, { ...container, owner: { uid: 0, gid: 0 } });
  const builder = newProgram("stdio");
  launch.plan.prelude(builder);
  builder.op("CLONE", [builder.data.space(CLONE_ARGS_BYTES), 0, 0]);
  builder.op("EXIT", [0]);
  const program = builder.build();
  const holder = host.launch(key, {
    program: program.bytes,
    stdio: launch,
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
  });
  try {
    await holder.spawned();
    await holder.exited();
    return holder;
  } catch (error) {
    host.forget(key);
    throw error;
  }
}

/** The same entry, after a restart of the task server. */
export function findHolder(host: Host, key: string): MonitoredProcess {
  return host.find(key, {
    describe: (step, errno) => new StatusError(Code.Unknown, `stdio: step ${step}: errno ${errno}`),
  });
}

/** A path of a held pipe's end, which can be opened as the process would have it. Undefined where it was closed. */
export async function pathOf(
  holder: ContainerProcess,
  stream: HeldStream,
  monitorPid: number,
): Promise<string | undefined> {
  const builder = newProgram(stream);
  const number = builder.register(); // register 0: what RUN answers
  const place = builder.data.space(8);
  builder.op("STORE", [{ kind: "slot", index: CHILD_SLOT[stream] }, place.offset, 4]);
  builder.op("LOAD", [place.offset, 4], { to: number });
  const { errno, value } = await holder.run(builder.build().bytes);
  return errno === 0 ? `/proc/${monitorPid}/fd/${value}` : undefined;
}

/** Close the held end: the other one comes to its end. Harmless if it is closed. */
export async function closeHeld(holder: ContainerProcess, stream: HeldStream): Promise<void> {
  const builder = newProgram(stream);
  builder.op("DROP", [CHILD_SLOT[stream]]);
  await holder.run(builder.build().bytes);
}

/**
 * How many bytes were ever written into a held pipe, by whomever: what the monitor has moved, and what waits in it. Undefined where the monitor does not
 * copy: to a logger, which reads the pipe itself. Only while nobody writes.
 */
export async function countWritten(holder: Runner, stream: "stdout" | "stderr"): Promise<number | undefined> {
  const slot = SOURCE_SLOT[stream];
  for (let look = 0; look < LOOKS; look++) {
    const before = await moved(holder, slot);
    if (before === undefined) return undefined;
    const waiting = await waitingIn(holder, slot);
    if ((await moved(holder, slot)) === before) return before + waiting;
  }
  throw new StatusError(Code.Internal, `${stream}: somebody else writes into its pipe`);
}

async function moved(holder: Runner, slot: number): Promise<number | undefined> {
  const builder = newProgram("stdio");
  const count = builder.register();
  builder.op("MOVED", [slot], { to: count });
  const { errno, value } = await holder.run(builder.build().bytes);
  if (errno === EBADF) return undefined;
  if (errno !== 0) throw new StatusError(Code.Internal, `stdio: errno ${errno} from the monitor`);
  return Number(value);
}

/** How many bytes wait in a slot to be read; 0 where it is closed. */
export async function waitingIn(holder: Runner, slot: number): Promise<number> {
  const builder = newProgram("stdio");
  const bytes = builder.register();
  const place = builder.data.space(8);
  builder.sys("ioctl", [{ kind: "slot", index: slot }, FIONREAD, place]);
  builder.op("LOAD", [place.offset, 4], { to: bytes });
  const { errno, value } = await holder.run(builder.build().bytes);
  return errno === 0 ? Number(value) : 0; // closed: nobody reads any more
}
