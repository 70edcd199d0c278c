import { connect } from "node:net";

/** Connect, write, and wait for the end of the connection, `limitMs` at most. */
export function throwAt(path: string, bytes: Buffer, limitMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const socket = connect(path, () => socket.write(bytes));
  const end = () => {
    socket.destroy();
    resolve();
  };
  socket.on("error", end).on("close", end).resume();
  setTimeout(end, limitMs);
  return promise;
}
