import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import type { Bundle } from "../bundles/bundle.ts";

/** Where the text of a shim's log goes, in pieces cut anywhere. Must not throw. */
export type LogSink = (chunk: Buffer) => void;

/**
 * Copy what a shim writes into its bundle's `log` FIFO, while this process lives. Must be open before `start`: the FIFO is opened
 * for both directions, so the shim finds a reader and we never see an end. Does not keep the process alive.
 */
export function openShimLog(bundle: Bundle, sink: LogSink): Disposable {
  const fd = openSync(join(bundle.path, "log"), constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  socket.on("data", sink);
  socket.on("error", () => {}); // a log that cannot be read is no reason to fail a container
  socket.unref();
  return { [Symbol.dispose]: () => void socket.destroy() };
}
