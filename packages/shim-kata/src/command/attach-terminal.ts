import { once } from "node:events";
import { connect } from "node:net";
import type { Readable, Writable } from "node:stream";
import { Code, StatusError } from "ttrpc-ts";

/** Control and `]`, as in telnet: the shell sees every other key. */
const LEAVE = 0x1d;

/** A terminal, or what stands for one. */
export interface Terminal {
  readonly input: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly output: Writable;
}

/**
 * Connect a terminal with the shell behind a machine's debug.0, until Control-], the end of the input, the machine's end, or the signal. The
 * terminal is as it was afterwards. Throws NotFound where no machine listens.
 */
export async function attachTerminal(path: string, { input, output }: Terminal, signal: AbortSignal): Promise<void> {
  const socket = connect({ path });
  const failed = (error: Error) =>
    new StatusError(Code.NotFound, `${path}: no machine with a debug console is there (${error.message})`);
  await once(socket, "connect", { signal }).catch((error: Error) => {
    socket.destroy();
    throw failed(error);
  });
  const stop = () => socket.destroy();
  const type = (chunk: Buffer) => {
    const end = chunk.indexOf(LEAVE);
    socket.write(end < 0 ? chunk : chunk.subarray(0, end));
    if (end >= 0) stop();
  };
  signal.addEventListener("abort", stop, { once: true });
  const raw = input.isTTY === true;
  if (raw) input.setRawMode?.(true);
  try {
    input.on("data", type).once("end", stop);
    socket.on("error", () => undefined).pipe(output, { end: false });
    await once(socket, "close");
  } finally {
    input.off("data", type).off("end", stop).pause();
    if (raw) input.setRawMode?.(false);
    signal.removeEventListener("abort", stop);
  }
}
