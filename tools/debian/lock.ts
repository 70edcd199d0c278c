import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

/**
 * Run `work` while no other process of this machine runs one under the same name.
 * The lock is an abstract unix socket: the kernel drops it with its holder, so a kill leaves nothing stale, and who waits does
 * not poll: a connection to the holder ends when the holder does.
 */
export async function withMachineLock<T>(name: string, work: () => Promise<T>): Promise<T> {
  const release = await acquire(`\0trimaran-setup-${name}`);
  try {
    return await work();
  } finally {
    release();
  }
}

async function acquire(path: string): Promise<() => void> {
  const waiters = new Set<Socket>();
  for (;;) {
    const server = createServer((socket) => waiters.add(socket.on("error", () => undefined)));
    try {
      await once(server.listen({ path }), "listening");
      return () => {
        server.close();
        for (const socket of waiters) socket.destroy();
      };
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EADDRINUSE")) throw error;
    }
    const holder = connect({ path }).resume();
    holder.on("error", () => undefined); // gone already: try again
    await new Promise<void>((resolve) => holder.on("close", () => resolve()));
  }
}
