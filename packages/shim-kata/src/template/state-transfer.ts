import { once } from "node:events";
import { rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { finished } from "node:stream/promises";
import { Code, StatusError } from "ttrpc-ts";
import { connectWhenThere } from "../qemu/connect.ts";
import type { Qmp, QmpEvent } from "../qemu/qmp.ts";

/** The state of devices is some 60 kB; more is no state of ours. */
const STATE_LIMIT_BYTES = 16 * 1024 * 1024;

/**
 * Ask a stopped QEMU for its state, without the memory, which is in a file. QEMU's sandbox lets it neither run `cat` nor open new files:
 * it connects to `socketPath`, where we listen for that long. Throws Unavailable with QEMU's reason.
 */
export async function saveState(qmp: Qmp, socketPath: string, signal: AbortSignal): Promise<Buffer> {
  rmSync(socketPath, { force: true });
  const server = createServer();
  try {
    await once(server.listen(socketPath), "listening");
    const connected = once(server, "connection", { signal }) as Promise<[Socket]>;
    connected.catch(() => undefined); // QEMU's own word comes first
    const ended = migrationEnd(qmp, signal);
    ended.catch(() => undefined);
    await prepare(qmp);
    await qmp.execute("migrate", { uri: `unix:${socketPath}` });
    const [socket] = await connected;
    const state = await readAll(socket);
    await ended;
    return state;
  } finally {
    server.close();
    rmSync(socketPath, { force: true });
  }
}

/** Give a QEMU that waits (`-incoming defer`) the state of its template. It goes on with `cont`. Throws Unavailable with QEMU's reason. */
export async function loadState(qmp: Qmp, state: Buffer, socketPath: string, signal: AbortSignal): Promise<void> {
  const ended = migrationEnd(qmp, signal);
  ended.catch(() => undefined); // read below; a failure before that is the error
  await prepare(qmp);
  await qmp.execute("migrate-incoming", { uri: `unix:${socketPath}` });
  const socket = await connectWhenThere(socketPath, signal);
  socket.on("error", () => undefined); // QEMU ends when it does not like the state; its own word is the error
  socket.end(state);
  await ended;
  socket.destroy();
  rmSync(socketPath, { force: true });
}

/** Memory that is in a file stays there; and say when the state has been taken. */
async function prepare(qmp: Qmp): Promise<void> {
  const capabilities = ["x-ignore-shared", "events"].map((capability) => ({ capability, state: true }));
  await qmp.execute("migrate-set-capabilities", { capabilities });
}

async function migrationEnd(qmp: Qmp, signal: AbortSignal): Promise<void> {
  const isEnd = ({ name, data }: QmpEvent) =>
    name === "MIGRATION" && /^(completed|failed|cancelled)$/.test(`${data.status}`);
  const { data } = await qmp.nextEvent(isEnd, signal);
  if (data.status !== "completed")
    throw new StatusError(Code.Unavailable, `qemu: its state can't be moved: ${data.status}`);
}

async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  socket.on("data", (chunk: Buffer) => {
    size += chunk.length;
    chunks.push(chunk);
    if (size > STATE_LIMIT_BYTES)
      socket.destroy(new Error(`qemu: its state is larger than ${STATE_LIMIT_BYTES} bytes`));
  });
  await finished(socket, { writable: false });
  socket.destroy();
  return Buffer.concat(chunks);
}
