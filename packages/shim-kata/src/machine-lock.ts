import { createHash } from "node:crypto";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * Run `work` while no other process of this machine (of this network namespace) runs one under the same name.
 * The lock is an abstract unix socket: the kernel drops it with its holder, so a kill leaves nothing stale, and who waits does not poll:
 * a connection to the holder ends when the holder does. Throws the signal's reason when it is aborted while it waits.
 */
export async function withMachineLock<T>(name: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  // A socket's name has 107 bytes; a lock's is often a path.
  const release = await acquire(
    `\0trimaran-kata-${createHash("sha256").update(name).digest("hex").slice(0, 32)}`,
    signal,
  );
  try {
    return await work();
  } finally {
    release();
  }
}

async function acquire(path: string, signal: AbortSignal): Promise<() => void> {
  const waiters = new Set<Socket>();
  for (;;) {
    signal.throwIfAborted();
    let isReleased = false;
    const server = createServer((socket) => {
      socket.on("error", () => undefined);
      if (isReleased)
        socket.destroy(); // it was on its way when the lock was given up
      else waiters.add(socket);
    });
    try {
      await once(server.listen({ path }), "listening");
      return () => {
        isReleased = true;
        server.close();
        for (const socket of waiters) socket.destroy();
      };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    }
    await holderGone(path, signal);
  }
}

async function holderGone(path: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const holder = connect({ path }).resume();
  const stop = () => holder.destroy();
  signal.addEventListener("abort", stop, { once: true });
  holder.on("error", () => undefined).on("close", () => resolve()); // refused: gone already, try again
  await promise;
  signal.removeEventListener("abort", stop);
}
