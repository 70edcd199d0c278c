import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, rename, stat, unlink } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";

/** What containerd allows; the kernel's own limit is 107. */
const PATH_LIMIT_BYTES = 104;

/** Check a socket's path. Throws InvalidArgument if it is empty or longer than 104 bytes. */
export function requireSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > 0 && bytes <= PATH_LIMIT_BYTES) return;
  throw new ManagerError(
    Code.InvalidArgument,
    `address ${JSON.stringify(path)}: a socket's path has 1 to ${PATH_LIMIT_BYTES} bytes, this one has ${bytes}`,
  );
}

/**
 * Listen on a unix socket of mode 0660, in a directory that is made if need be (0711). What is there under that name is
 * replaced: whether another server lives is for the caller to know. Disposing closes the socket and removes the file, if it
 * still is ours; connections belong to the taker. Throws InvalidArgument for a bad path, else the system's error.
 */
export async function listenOnSocket(path: string, take: (socket: Socket) => void): Promise<AsyncDisposable> {
  requireSocketPath(path);
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  const server = createServer(take);
  // Bound under another name: nobody can connect before the mode is right, and Node unlinks the name that it bound.
  const temporary = join(dirname(path), `.${randomBytes(3).toString("hex")}`);
  server.listen(temporary);
  await once(server, "listening"); // rejects on "error"
  try {
    await chmod(temporary, 0o660);
    const { ino } = await stat(temporary);
    await rename(temporary, path);
    return { [Symbol.asyncDispose]: () => close(server, path, ino) };
  } catch (error) {
    server.close();
    throw error;
  }
}

async function close(server: Server, path: string, inode: number): Promise<void> {
  if (server.listening) server.close();
  const now = await stat(path).catch(() => undefined);
  if (now?.ino !== inode) return;
  await unlink(path).catch((error: unknown) => {
    if (errnoOf(error) !== "ENOENT") throw error;
  });
}
