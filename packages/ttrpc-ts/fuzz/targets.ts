import assert from "node:assert/strict";
import { google, ttrpc, WireError } from "@trimaran/proto";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { RawPeer } from "../conformance/raw-peer.ts";
import { Client, encodeFrame, type Frame, FrameReader, FrameType, memoryChannels, Server } from "../src/index.ts";
import type { Random } from "./random.ts";

/** Feeds an input to some code; throws if that did what it must not. */
export type Target = (input: Buffer, random: Random) => void | Promise<void>;

function plain(frames: readonly Frame[]): object[] {
  return frames.map((frame) => ({ ...frame, payload: Buffer.from(frame.payload).toString("latin1") }));
}

/** However the bytes are cut, the same frames come out. */
function frames(input: Buffer, random: Random): void {
  const whole = new FrameReader().feed(input);
  const reader = new FrameReader();
  const cut: Frame[] = [];
  for (let at = 0; at < input.length; ) {
    const size = 1 + random.below(40);
    cut.push(...reader.feed(input.subarray(at, at + size)));
    at += size;
  }
  assert.deepEqual(plain(cut), plain(whole));
}

/** Decoding gives a message, which is stable from then on, or WireError. */
function envelopes(input: Buffer): void {
  for (const codec of [ttrpc.Request, ttrpc.Response, google.protobuf.Any]) {
    try {
      const first = codec.encode(codec.decode(input) as never);
      assert.deepEqual(codec.encode(codec.decode(first) as never), first);
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
    }
  }
}

/** Whether a frame that follows these bytes is seen as one. */
function endsAtFrame(input: Buffer, next: Uint8Array): boolean {
  const reader = new FrameReader();
  const before = reader.feed(input);
  if (before.some((frame) => frame.streamId === 4294967295)) return false;
  const [frame, ...more] = reader.feed(next);
  return frame?.streamId === 4294967295 && more.length === 0;
}

const server = new Server({ streamBufferBytes: 1 << 16 });
server.register(echo, {
  ...echoImplementation,
  big: ({ typeUrl }) => ({ value: Buffer.alloc(Number(typeUrl) % 1000 || 0) }),
});

/** A server goes on: the same connection answers if it is between frames, and a new one always. */
async function liveServer(input: Buffer): Promise<void> {
  const [peer, channel] = RawPeer.pair();
  const connection = server.serve(channel);
  peer.channel.send(input);
  const payload = ttrpc.Request.encode({ service: echo.name, method: "Unary" });
  const probe = encodeFrame({ streamId: 4294967295, type: FrameType.Request, flags: 0, payload });
  if (endsAtFrame(input, probe)) {
    peer.channel.send(probe);
    let frame = await peer.next();
    while (frame.streamId !== 4294967295) frame = await peer.next();
  }
  peer.channel.close();
  await connection.closed;
  assert.equal(connection.activeCalls, 0);
  const [near, far] = memoryChannels();
  server.serve(far);
  const client = new Client(near);
  await client.service(echo).unary({ typeUrl: "still there" });
  client.close();
}

/** A client takes any answer: its calls end at the latest with the connection, and none stays open. */
async function liveClient(input: Buffer): Promise<void> {
  const [near, far] = memoryChannels();
  const client = new Client(near, { streamBufferBytes: 1 << 16 });
  const api = client.service(echo);
  const drain = async (stream: AsyncIterable<unknown>) => {
    for await (const _message of stream);
  };
  const calls = [api.unary({}), api.unary({}), drain(api.chat()), drain(api.download({})), api.upload().response()];
  const settled = Promise.allSettled(calls);
  far.send(input);
  await new Promise(setImmediate);
  far.close();
  await settled;
  await client.closed;
  assert.equal(client.openCalls, 0);
}

export const targets: Readonly<Record<string, Target>> = { frames, envelopes, liveServer, liveClient };
