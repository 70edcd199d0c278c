import assert from "node:assert/strict";
import { test } from "node:test";
import { ttrpc } from "@trimaran/proto";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { RawPeer } from "../conformance/raw-peer.ts";
import { Client, Code, encodeFrame, Flag, FrameType, memoryChannels, Server } from "./index.ts";

function open() {
  const [peer, channel] = RawPeer.pair();
  const client = new Client(channel);
  return { client, peer, api: service(client) };
}

const service = (client: Client) => client.service(echo);

test("ids are 1, 3, 5; a request has no flags and lower-case metadata", async () => {
  const { peer, api } = open();
  for (let i = 0; i < 3; i++)
    void api.unary({ typeUrl: "x" }, { metadata: { "A-Key": "v" }, timeoutMs: 1000 }).catch(() => {});
  for (const id of [1, 3, 5]) {
    const frame = await peer.next();
    const request = ttrpc.Request.decode(frame.payload);
    assert.deepEqual([frame.streamId, frame.type, frame.flags], [id, FrameType.Request, 0]);
    assert.deepEqual([request.service, request.method, request.timeoutNano], [echo.name, "Unary", 1_000_000_000n]);
    assert.deepEqual(request.metadata, [{ key: "a-key", value: "v" }]);
  }
  peer.channel.close();
});

test("a Response of length 0 is success with an empty message", async () => {
  const { peer, api } = open();
  const call = api.unary({});
  await peer.next();
  peer.send(1, FrameType.Response, 0);
  assert.equal((await call).typeUrl, "");
});

test("a status with code 0 is success, an undefined code is Unknown", async () => {
  const { peer, api } = open();
  const calls = [api.unary({}), api.unary({})];
  for (const [id, code] of [
    [1, 0],
    [3, 77],
  ] as const) {
    peer.send(id, FrameType.Response, 0, ttrpc.Response.encode({ status: { code, message: "m" } }));
  }
  await calls[0];
  await assert.rejects(calls[1] ?? Promise.resolve(), { code: Code.Unknown, message: "m" });
});

test("when the connection ends every call fails with ttrpc: closed, and so does each later one", async () => {
  const { client, peer, api } = open();
  const expected = { name: "StatusError", code: Code.Unknown, message: "ttrpc: closed" };
  const stream = api.chat();
  const calls = [api.unary({}), api.wait({}, { timeoutMs: 60_000 }), stream[Symbol.asyncIterator]().next()];
  peer.channel.close();
  await client.closed;
  for (const call of calls) await assert.rejects(call, expected);
  await assert.rejects(api.unary({}), expected);
  assert.throws(() => api.chat(), expected);
  assert.equal(client.openCalls, 0);
});

test("the client returns at its own deadline, and at its signal", async () => {
  const { client, api } = open();
  await assert.rejects(api.wait({}, { timeoutMs: 10 }), {
    code: Code.DeadlineExceeded,
    message: "context deadline exceeded",
  });
  await assert.rejects(api.wait({}, { timeoutMs: 0 }), { code: Code.DeadlineExceeded });
  const controller = new AbortController();
  const call = api.wait({}, { signal: controller.signal });
  controller.abort();
  await assert.rejects(call, { code: Code.Canceled });
  await assert.rejects(api.wait({}, { signal: controller.signal }), { code: Code.Canceled });
  await assert.rejects(api.wait({}, { timeoutMs: Number.NaN }), { code: Code.InvalidArgument });
  assert.equal(client.openCalls, 0);
});

test("late, unknown and strange frames are dropped", async () => {
  const { client, peer, api } = open();
  await assert.rejects(api.wait({}, { timeoutMs: 5 }), { code: Code.DeadlineExceeded });
  for (const id of [0, 1, 2, 99])
    for (const type of [0, 1, 2, 3, 200]) peer.send(id, type, 0xff, Buffer.from("ff", "hex"));
  const call = api.unary({});
  peer.send(3, FrameType.Request, 0);
  peer.send(3, FrameType.Response, 0);
  await call;
  assert.equal(client.openCalls, 0);
});

test("Data in answer to a unary call is a protocol error", async () => {
  const { peer, api } = open();
  const call = api.unary({});
  peer.send(1, FrameType.Data, 0);
  await assert.rejects(call, { message: "protocol error" });
});

test("malformed and oversized answers fail their call only", async () => {
  const { peer, api } = open();
  const [bad, worse, big, good] = [api.unary({}), api.unary({}), api.unary({}), api.unary({})];
  peer.send(1, FrameType.Response, 0, Buffer.from("ff", "hex"));
  peer.send(3, FrameType.Response, 0, ttrpc.Response.encode({ payload: Buffer.from("0aff", "hex") }));
  const frame = Buffer.alloc(10 + 4194305);
  frame.set(encodeFrame({ streamId: 5, type: 2, flags: 0, payload: new Uint8Array() }));
  frame.writeUInt32BE(4194305, 0);
  peer.channel.send(frame);
  peer.send(7, FrameType.Response, 0);
  await assert.rejects(bad, { code: Code.Internal });
  await assert.rejects(worse, { code: Code.Internal });
  await assert.rejects(big, { code: Code.ResourceExhausted, message: /^message length 4194305 exceed/ });
  await good;
});

test("a request that is too big fails here, nothing is sent, the id is not used", async () => {
  const { client, peer, api } = open();
  await assert.rejects(api.unary({ value: Buffer.alloc(4194304) }), { code: Code.ResourceExhausted });
  assert.equal(client.openCalls, 0);
  void api.unary({}).catch(() => {});
  assert.equal((await peer.next()).streamId, 1);
  peer.channel.close();
});

test("a payload of the greatest length passes", async () => {
  const server = new Server();
  server.register(echo, echoImplementation);
  const [near, far] = memoryChannels();
  server.serve(far);
  const api = service(new Client(near));
  const head = ttrpc.Request.encode({ service: echo.name, method: "Unary" }).length;
  // A payload has its tag and length (5 bytes) in the Request, a value has the same in the Any.
  const value = Buffer.alloc(4194304 - head - 10);
  assert.equal((await api.unary({ value })).value.length, value.length);
  await assert.rejects(api.unary({ value: Buffer.alloc(value.length + 1) }), { code: Code.ResourceExhausted });
});

test("a stream says in its Request's flags whether the client will send", async () => {
  const { peer, api } = open();
  api.chat();
  api.upload();
  api.download({ typeUrl: "1" });
  for (const flags of [Flag.RemoteOpen, Flag.RemoteOpen, Flag.RemoteClosed]) {
    const frame = await peer.next();
    const request = ttrpc.Request.decode(frame.payload);
    assert.deepEqual([frame.flags, request.payload.length > 0], [flags, flags === Flag.RemoteClosed]);
  }
});
