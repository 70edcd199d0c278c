import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { type containerd, fromTimestamp, taskV2, toTimestamp, ttrpc, ttrpcEvents } from "@trimaran/proto";
import { Client, connectUnix, encodeFrame, type Frame, FrameReader, FrameType, listenUnix, Server } from "ttrpc-ts";
import type { RecordedEvent } from "../shim/fake-containerd.ts";
import type { Answer, Call, Hooks, WireControl } from "./hooks.ts";

/** Where the proxy listens, and what stands behind it. */
export interface Places {
  readonly socket: string;
  /** The real shim's address. */
  readonly real: string;
  /** Where the real shim sends its events. */
  readonly events: string;
  /** Where containerd wants them. */
  readonly forward: string;
}

const METHODS = new Map(Object.values(taskV2.methods).map((method) => [method.name, method]));

/** Stand between containerd and a real shim until that ends. */
export async function serveProxy(places: Places, hooks: Hooks): Promise<void> {
  const { daemon = {} } = hooks;
  if (daemon.keepsOomScore !== true) {
    const score = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
    writeFileSync("/proc/self/oom_score_adj", String(Math.min(score + 1, 1000)));
  }
  if (daemon.ignoresTerm === true) process.on("SIGTERM", () => undefined);
  await forwardEvents(places, hooks);
  const path = places.real.replace(/^unix:\/\//, "");
  const memory: Memory = { open: new Map(), started: new Set() };
  const server = createServer((client) => relay(client, connect({ path }), hooks, memory));
  const umask = process.umask(0o777 & ~(hooks.start?.socketMode ?? 0o600));
  server.listen(places.socket);
  process.umask(umask);
  const control = new Client(await connectUnix(places.real));
  await control.closed;
  rmSync(places.socket, { force: true });
  rmSync(places.events, { force: true });
  process.exit(0);
}

/** What all connections know. */
interface Memory {
  /** Open calls by method. */
  readonly open: Map<string, number>;
  /** Containers whose Start was asked. */
  readonly started: Set<string>;
}

function relay(client: Socket, real: Socket, hooks: Hooks, { open, started }: Memory): void {
  const wire: WireControl = {
    seen: new Set(),
    respond: (streamId, payload) =>
      void client.write(encodeFrame({ streamId, type: FrameType.Response, flags: 0, payload })),
    close: () => void client.destroy(),
  };
  const calls = new Map<number, Call>();
  const isCut = hooks.call !== undefined || hooks.answer !== undefined || hooks.frame !== undefined;
  const fromClient = new FrameReader();
  let hasAsked = false;
  let order = Promise.resolve();
  client.on("data", (chunk: Buffer) => {
    hasAsked = true;
    hooks.chunk?.(chunk, wire);
    if (!isCut) {
      real.write(chunk);
      return;
    }
    const frames = fromClient.feed(chunk).map((frame) => ({ ...frame, payload: Uint8Array.from(frame.payload) }));
    for (const frame of frames.flatMap((each) => hooks.frame?.(each, wire) ?? [each]))
      order = order.then(() => void pass(frame));
  });
  const pass = (frame: Frame) => {
    if (frame.type !== FrameType.Request || frame.oversizedBytes !== undefined) real.write(encodeFrame(frame));
    else void request(frame);
  };
  const request = async (frame: Frame) => {
    const envelope = decodedRequest(frame.payload);
    const method = METHODS.get(envelope?.method ?? "");
    if (envelope === undefined || method === undefined) {
      real.write(encodeFrame(frame));
      return;
    }
    open.set(method.name, (open.get(method.name) ?? 0) + 1);
    const request = decoded(method.request, envelope.payload);
    const isStarted = started.has(request.id);
    const openOf = (name: string) => open.get(name) ?? 0;
    const call: Call = { method: method.name, request, streamId: frame.streamId, openOf, isStarted };
    calls.set(frame.streamId, call);
    if (method.name === "Start") started.add(request.id);
    const said = await hooks.call?.(call);
    if (said !== undefined) {
      forget(frame.streamId);
      if (said !== "never") wire.respond(frame.streamId, responseOf(call, said));
      return;
    }
    const payload = ttrpc.Request.encode({ ...envelope, payload: method.request.encode(call.request) });
    real.write(encodeFrame({ ...frame, payload }));
  };
  const fromReal = new FrameReader();
  real.on("data", (chunk: Buffer) => {
    if (hooks.answer === undefined && hooks.responseBytes === undefined) {
      client.write(chunk);
      for (const { streamId } of fromReal.feed(chunk)) forget(streamId);
      return;
    }
    for (const frame of fromReal.feed(chunk)) void answer({ ...frame, payload: Uint8Array.from(frame.payload) });
  });
  const forget = (streamId: number) => {
    const call = calls.get(streamId);
    calls.delete(streamId);
    if (call !== undefined) open.set(call.method, (open.get(call.method) ?? 1) - 1);
    return call;
  };
  const answer = async (frame: Frame) => {
    const call = forget(frame.streamId);
    const changed = call === undefined ? undefined : await hooks.answer?.(call, answerOf(call, frame.payload));
    if (changed === "never") return;
    const payload = call !== undefined && changed !== undefined ? responseOf(call, changed) : frame.payload;
    client.write(encodeFrame({ ...frame, payload: hooks.responseBytes?.(payload) ?? payload }));
  };
  client
    .on("error", () => undefined)
    .on("close", () => {
      real.destroy();
      if (hooks.daemon?.endsWithClient === true && hasAsked) process.exit(1);
    });
  real.on("error", () => undefined).on("close", () => client.destroySoon());
}

function decodedRequest(payload: Uint8Array): ttrpc.Request | undefined {
  try {
    return ttrpc.Request.decode(payload);
  } catch {
    return undefined;
  }
}

function decoded(codec: { decode(bytes: Uint8Array): unknown }, payload: Uint8Array): { readonly id: string } {
  try {
    return codec.decode(payload) as { id: string };
  } catch {
    return { id: "" };
  }
}

function answerOf(call: Call, payload: Uint8Array): unknown {
  const { status, payload: value } = ttrpc.Response.decode(payload);
  return status === undefined
    ? METHODS.get(call.method)?.response.decode(value)
    : { code: status.code, message: status.message };
}

function responseOf(call: Call, answer: Exclude<Answer, "never">): Uint8Array {
  if ("code" in answer) return ttrpc.Response.encode({ status: answer });
  return ttrpc.Response.encode({
    payload: METHODS.get(call.method)?.response.encode(answer.value) ?? new Uint8Array(),
  });
}

/** Events pass one by one, in the order in which they came, and are sent until containerd has taken them. */
async function forwardEvents({ events, forward }: Places, hooks: Hooks): Promise<void> {
  rmSync(events, { force: true });
  const server = new Server();
  const memory: RecordedEvent[] = [];
  let order: Promise<unknown> = Promise.resolve();
  server.register(ttrpcEvents, {
    forward: async ({ envelope }, { metadata }) => {
      const event: RecordedEvent = {
        namespace: envelope?.namespace ?? "",
        topic: envelope?.topic ?? "",
        typeUrl: envelope?.event?.typeUrl ?? "",
        value: Uint8Array.from(envelope?.event?.value ?? []),
        timestampNs: envelope?.timestamp === undefined ? 0n : fromTimestamp(envelope.timestamp),
        metadataNamespace: metadata.get("containerd-namespace-ttrpc")?.[0] ?? "",
      };
      const sent = order.then(async () => {
        for (const each of (await hooks.event?.(event, memory)) ?? [event])
          await send(forward, each, hooks.dropsEvents === true);
      });
      order = sent.catch(() => undefined);
      await sent;
      return {};
    },
  });
  await listenUnix(server, events);
}

async function send(forward: string, event: RecordedEvent, isDropped: boolean): Promise<void> {
  for (;;) {
    try {
      const client = new Client(await connectUnix(forward));
      const { namespace, topic, typeUrl, value, timestampNs } = event;
      const timestamp = timestampNs === 0n ? undefined : toTimestamp(timestampNs);
      const metadata = { "containerd-namespace-ttrpc": event.metadataNamespace };
      const envelope: containerd.types.Envelope = { timestamp, namespace, topic, event: { typeUrl, value } };
      await client.service(ttrpcEvents).forward({ envelope }, { metadata });
      client.close();
      return;
    } catch {
      if (isDropped) return;
      await delay(20);
    }
  }
}
