import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import type { FrameChannel } from "./channel.ts";
import type { Server } from "./server.ts";
import { Code, StatusError } from "./status.ts";
import { channelFromStream, type StreamChannelOptions } from "./stream-channel.ts";

/** How to dial. */
export interface ConnectOptions extends StreamChannelOptions {
  /** Limit of the dial in milliseconds. None by default: a full backlog may make it wait. */
  readonly timeoutMs?: number;
}

/** How to listen. */
export interface ListenOptions<D> extends StreamChannelOptions {
  /** Permissions of the socket file, in force before anybody can connect. Default 0o600. */
  readonly mode?: number;
  /**
   * Looks at who has connected. Returns what the connection is served with; if it throws, the connection is closed
   * without a byte. containerd wants the peer's effective uid and gid to be its own here (SO_PEERCRED, which Node lacks).
   */
  readonly accept: (socket: Socket) => D;
}

/** A socket that is being listened on. */
export interface Listener {
  readonly path: string;
  /** No new connections, and the file is unlinked. Open connections go on. Twice is harmless. */
  close(): void;
}

/** `unix:///run/a.sock` and `/run/a.sock` are the same; a leading NUL means the abstract namespace. */
function parsePath(address: string): string {
  return address.startsWith("unix://") ? address.slice("unix://".length) : address;
}

/** Dial a unix socket. Rejects with Unavailable, the system's error as its cause; DeadlineExceeded after `timeoutMs`. */
export function connectUnix(address: string, options: ConnectOptions = {}): Promise<FrameChannel> {
  const path = parsePath(address);
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const fail = (code: Code, cause: Error) => {
      clearTimeout(timer);
      socket.destroy();
      reject(new StatusError(code, `connect ${JSON.stringify(path)}: ${cause.message}`, { cause }));
    };
    const onError = (error: Error) => fail(Code.Unavailable, error);
    const { timeoutMs } = options;
    const onTimeout = () => fail(Code.DeadlineExceeded, new Error(`no answer in ${timeoutMs} ms`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(onTimeout, timeoutMs);
    socket.once("error", onError);
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", onError);
      resolve(channelFromStream(socket, options));
    });
  });
}

/** Listen on a unix socket for a server. Rejects with the system's error, EADDRINUSE say; an old file is not removed. */
export function listenUnix(server: Server, address: string, options?: Partial<ListenOptions<void>>): Promise<Listener>;
export function listenUnix<D>(server: Server<D>, address: string, options: ListenOptions<D>): Promise<Listener>;
export async function listenUnix<D>(
  server: Server<D>,
  address: string,
  options: Partial<ListenOptions<D>> = {},
): Promise<Listener> {
  const path = parsePath(address);
  const accept = options.accept ?? (() => undefined as D); // left out only where D is void
  const listening = createServer((socket) => {
    let data: D;
    try {
      data = accept(socket);
    } catch {
      socket.destroy();
      return;
    }
    server.serve(channelFromStream(socket, options), data);
  });
  const umask = process.umask(0o777 & ~(options.mode ?? 0o600)); // bind happens inside listen, before anybody else runs
  try {
    listening.listen(path);
  } finally {
    process.umask(umask);
  }
  await once(listening, "listening"); // rejects on "error"
  const forget = server.whenStopped({ close: () => void listening.close() });
  const close = () => {
    forget();
    listening.close(() => {}); // the callback takes the error of a second close
  };
  return { path, close };
}
