import assert from "node:assert/strict";
import { test } from "node:test";
import { google, ttrpc } from "@trimaran/proto";
import { cases, streamCases } from "../conformance/cases.ts";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { RawPeer } from "../conformance/raw-peer.ts";
import {
  Client,
  Code,
  Flag,
  FrameType,
  type Implementation,
  memoryChannels,
  Server,
  type ServerOptions,
} from "./index.ts";

type Handlers = Partial<Implementation<typeof echo, unknown>>;

function connect(handlers: Handlers = {}, options: ServerOptions = {}) {
  const server = new Server(options);
  server.register(echo, { ...echoImplementation, ...handlers });
  const [near, far] = memoryChannels();
  const connection = server.serve(far);
  return { server, connection, api: new Client(near, options).service(echo) };
}

for (const [name, run] of Object.entries({ ...cases, ...streamCases })) {
  test(`ours against ours: ${name}`, () => run(connect().api));
}

const any = (typeUrl: string) => google.protobuf.Any.encode({ typeUrl });

function rawPeer(handlers: Handlers = {}): RawPeer {
  const server = new Server({ streamBufferBytes: 100_000 });
  server.register(echo, { ...echoImplementation, ...handlers });
  const [peer, channel] = RawPeer.pair();
  server.serve(channel);
  return peer;
}

function openChat(peer: RawPeer, id: number): void {
  const request = ttrpc.Request.encode({ service: echo.name, method: "Chat", payload: any("not delivered") });
  peer.send(id, FrameType.Request, Flag.RemoteOpen, request);
}

test("bidi on the wire: Data flags 0, end by Data flags 5, error by Response; then the id is dead", async () => {
  const peer = rawPeer();
  openChat(peer, 1);
  peer.send(1, FrameType.Data, 0, any("a"));
  const frame = await peer.next();
  assert.deepEqual([frame.type, frame.flags, google.protobuf.Any.decode(frame.payload).typeUrl], [3, 0, "a"]);
  peer.send(1, FrameType.Data, Flag.RemoteClosed | Flag.NoData);
  const end = await peer.next();
  assert.deepEqual([end.type, end.flags, end.payload.length], [3, 5, 0]);
  peer.send(1, FrameType.Data, 0, any("b"));
  assert.equal((await peer.answer()).message, "StreamID is no longer active");
  openChat(peer, 3);
  peer.send(3, FrameType.Data, 0, any("fail"));
  assert.equal((await peer.answer()).code, Code.Aborted);
});

test("a last message with the end flag is delivered; data after the end ends the stream with code 3", async () => {
  const peer = rawPeer();
  openChat(peer, 1);
  peer.send(1, FrameType.Data, Flag.RemoteClosed, any("last"));
  assert.equal(google.protobuf.Any.decode((await peer.next()).payload).typeUrl, "last");
  assert.equal((await peer.next()).flags, 5);
  const endless = rawPeer({ chat: () => new Promise(() => {}) });
  openChat(endless, 1);
  endless.send(1, FrameType.Data, 5);
  endless.send(1, FrameType.Data, 0, any("x"));
  assert.equal((await endless.answer()).code, Code.InvalidArgument);
});

test("a stream that nobody drains stalls no other, and ends with ResourceExhausted", async () => {
  const peer = rawPeer({ chat: () => new Promise(() => {}) });
  openChat(peer, 1);
  for (let i = 0; i < 64; i++) peer.send(1, FrameType.Data, 0, Buffer.alloc(1000));
  peer.request(3, "Unary");
  assert.equal((await peer.answer()).streamId, 3);
  for (let i = 0; i < 64; i++) peer.send(1, FrameType.Data, 0, Buffer.alloc(1000));
  const answer = await peer.answer();
  assert.deepEqual([answer.streamId, answer.code], [1, Code.ResourceExhausted]);
});

test("the same on the client's side", async () => {
  const { api } = connect({}, { streamBufferBytes: 10_000 });
  const stream = api.download({ typeUrl: "1000" });
  await api.unary({});
  await new Promise(setImmediate);
  await assert.rejects(stream[Symbol.asyncIterator]().next(), { code: Code.ResourceExhausted });
  await api.unary({});
});

test("malformed messages in a stream fail the stream, not the connection", async () => {
  const peer = rawPeer();
  openChat(peer, 1);
  peer.send(1, FrameType.Data, 0, Buffer.from("0aff", "hex"));
  assert.equal((await peer.answer()).code, Code.Internal);
  peer.request(3, "Unary");
  assert.equal((await peer.answer()).code, 0);
});

test("leaving the loop gives the stream up; its id is forgotten and nothing more is sent", async () => {
  const [peer, channel] = RawPeer.pair();
  const client = new Client(channel);
  const stream = client.service(echo).chat();
  await peer.next();
  peer.send(1, FrameType.Data, 0, any("a"));
  for await (const _message of stream) break;
  assert.equal(client.openCalls, 0);
  await assert.rejects(stream.send({}), { code: Code.FailedPrecondition });
  stream.closeSend();
  await new Promise(setImmediate);
  assert.equal(peer.frames.length, 0);
});

test("Data for a method on which the server does not stream is a protocol error", async () => {
  const [peer, channel] = RawPeer.pair();
  const stream = new Client(channel).service(echo).upload();
  const response = stream.response();
  peer.send(1, FrameType.Data, 0, any("a"));
  await assert.rejects(response, { message: "protocol error" });
});

test("a server's send waits for a slow peer and fails when the peer goes", async () => {
  const [near, far] = memoryChannels();
  let slow = true;
  const channel = Object.assign(far, { onDrain: () => {} });
  const send = channel.send.bind(channel);
  channel.send = (frame) => send(frame) && !slow;
  const server = new Server();
  server.register(echo, echoImplementation);
  server.serve(channel);
  const peer = new RawPeer(near);
  peer.request(1, "Download", any("3"));
  await peer.next();
  await new Promise(setImmediate);
  assert.equal(peer.frames.length, 0);
  slow = false;
  channel.onDrain();
  for (let i = 0; i < 3; i++) await peer.next();
  assert.equal(peer.frames.length, 0);
});
