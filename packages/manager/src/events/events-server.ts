import { mkdir, rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { type containerd, fromTimestamp, ttrpcEvents } from "@trimaran/proto";
import { listenUnix, Server } from "ttrpc-ts";
import { Code, StatusError } from "../errors/manager-error.ts";
import type { EventExchange } from "./event-exchange.ts";

/**
 * Serve containerd's ttrpc events service on a socket, so that shims can forward their events. The socket replaces whatever has
 * that name: several processes may serve in turn, and a shim finds the one that came last. Disposing closes it, and
 * removes the name if it is still ours.
 */
export async function serveEvents(path: string, exchange: EventExchange): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true, mode: 0o711 });
  const server = new Server();
  server.register(ttrpcEvents, {
    forward: async ({ envelope }: containerd.services.events.ttrpc.v1.ForwardRequest) => {
      exchange.publish(parseEnvelope(envelope));
      return {};
    },
  });
  const temporary = `${path}.${process.pid}`;
  await listenUnix(server, temporary);
  const { ino } = await stat(temporary);
  await rename(temporary, path);
  return {
    [Symbol.asyncDispose]: async () => {
      server.close();
      const now = await stat(path).catch(() => undefined);
      if (now?.ino === ino) await unlink(path).catch(() => {});
    },
  };
}

/** containerd's checks: a topic that begins with a slash, a namespace, a time, and something in it. */
function parseEnvelope(envelope: containerd.types.Envelope | undefined) {
  const { namespace = "", topic = "", timestamp, event } = envelope ?? {};
  if (namespace === "" || !topic.startsWith("/") || timestamp === undefined || event === undefined) {
    throw new StatusError(Code.InvalidArgument, "envelope: needs timestamp, namespace, topic and event");
  }
  return { namespace, topic, timestampNs: fromTimestamp(timestamp), typeUrl: event.typeUrl, payload: event.value };
}
