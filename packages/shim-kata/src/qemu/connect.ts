import { connect, type Socket } from "node:net";
import { Code, StatusError } from "ttrpc-ts";

/** How long to wait until a socket that is not there yet is looked for again; QEMU needs 20 ms to make it. */
const RETRY_MS = 2;

/** Connect to a socket that QEMU has or is about to have. Throws the signal's reason when that is aborted first. */
export async function connectWhenThere(path: string, signal: AbortSignal): Promise<Socket> {
  for (;;) {
    signal.throwIfAborted();
    const outcome = await tryConnect(path);
    if (outcome instanceof Error) {
      const code = "code" in outcome ? outcome.code : "";
      if (code !== "ENOENT" && code !== "ECONNREFUSED")
        throw new StatusError(Code.Unavailable, `${path}: ${outcome.message}`);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    } else return outcome;
  }
}

async function tryConnect(path: string): Promise<Socket | Error> {
  const { promise, resolve } = Promise.withResolvers<Socket | Error>();
  const socket = connect({ path });
  const failed = (error: Error) => resolve(error);
  socket.once("error", failed).once("connect", () => {
    socket.off("error", failed);
    resolve(socket);
  });
  return await promise;
}
