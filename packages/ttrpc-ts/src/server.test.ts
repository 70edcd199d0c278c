import assert from "node:assert/strict";
import { test } from "node:test";
import { google, ttrpc } from "@trimaran/proto";
import { aborted, echo, echoImplementation } from "../conformance/echo.ts";
import { RawPeer } from "../conformance/raw-peer.ts";
import {
  type CallContext,
  Client,
  Code,
  encodeFrame,
  FrameType,
  type Implementation,
  memoryChannels,
  Server,
} from "./index.ts";

type Handlers = Partial<Implementation<typeof echo, unknown>>;

function serveEcho(handlers: Handlers = {}, options = {}): { server: Server; peer: RawPeer } {
  const server = new Server(options);
  server.register(echo, { ...echoImplementation, ...handlers });
  const [peer, channel] = RawPeer.pair();
  server.serve(channel);
  return { server, peer };
}

const any = (typeUrl: string) => google.protobuf.Any.encode({ typeUrl });

test("an empty answer is a Response of length 0; success has no status", async () => {
  const { peer } = serveEcho();
  peer.request(1, "Unary");
  assert.equal((await peer.answer()).lengthBytes, 0);
  peer.request(3, "Unary", any("x"));
  const frame = await peer.next();
  assert.equal(ttrpc.Response.decode(frame.payload).status, undefined);
});

test("even, zero, used and descending ids are answered, the connection lives", async () => {
  const { peer } = serveEcho();
  const odd = "StreamID must be odd for client initiated streams";
  const used = "StreamID cannot be re-used and must increment";
  const rows = [
    [0, odd],
    [2, odd],
    [7, ""],
    [7, used],
    [5, used],
    [4294967295, ""],
  ] as const;
  for (const [id, message] of rows) {
    peer.request(id, "Unary");
    const answer = await peer.answer();
    assert.deepEqual([answer.streamId, answer.code, answer.message], [id, message === "" ? 0 : 3, message]);
  }
});

test("unknown names, bad requests and bad payloads have their codes and texts", async () => {
  const { peer } = serveEcho();
  peer.request(1, "Unary", undefined, "no.Such");
  peer.request(3, "Nope");
  peer.send(5, FrameType.Request, 0);
  peer.send(7, FrameType.Request, 0, Buffer.from("ff", "hex"));
  peer.request(9, "Unary", Buffer.from("0aff", "hex"));
  const answers = [];
  for (let i = 0; i < 5; i++) answers.push(await peer.answer());
  const texts = answers.map(({ code, message }) => `${code} ${message}`);
  assert.deepEqual(texts.slice(0, 3), ["12 service no.Such", "12 method Nope", "12 service "]);
  assert.match(texts[3] ?? "", /^3 unmarshal request error: /);
  assert.match(texts[4] ?? "", /^13 ttrpc: error unmarshalling payload: /);
});

test("type 2, unknown types and flags of a unary request mean nothing", async () => {
  const { peer } = serveEcho();
  peer.send(1, FrameType.Response, 0);
  peer.send(1, 99, 0);
  const request = ttrpc.Request.encode({ service: echo.name, method: "Unary", payload: any("x") });
  peer.send(1, FrameType.Request, 0xff, request);
  assert.equal((await peer.answer()).code, 0);
  assert.equal(peer.frames.length, 0);
});

test("Data for an unknown, a finished and a unary stream harms nothing", async () => {
  const release = Promise.withResolvers<void>();
  const { peer } = serveEcho({ wait: () => release.promise.then(() => ({ typeUrl: "done" })) });
  for (const flags of [0, 1, 5]) peer.send(99, FrameType.Data, flags, any("x"));
  for (let i = 0; i < 3; i++) assert.equal((await peer.answer()).message, "StreamID is no longer active");
  peer.request(1, "Unary");
  await peer.answer();
  peer.send(1, FrameType.Data, 0, any("x"));
  assert.equal((await peer.answer()).code, Code.InvalidArgument);
  peer.request(3, "Wait");
  for (const flags of [0, 1, 5]) peer.send(3, FrameType.Data, flags, any("x"));
  release.resolve();
  assert.deepEqual(google.protobuf.Any.decode((await peer.answer()).payload).typeUrl, "done");
});

test("an oversized request and an oversized answer get code 8, the connection lives", async () => {
  const { peer } = serveEcho();
  const big = Buffer.alloc(10 + 4194305);
  big.set(encodeFrame({ streamId: 1, type: 1, flags: 0, payload: new Uint8Array() }));
  big.writeUInt32BE(4194305, 0);
  peer.channel.send(big);
  const refused = await peer.answer();
  assert.equal(refused.code, Code.ResourceExhausted);
  assert.equal(refused.message, "message length 4194305 exceed maximum message size of 4194304");
  peer.request(3, "Big", any("4194304"));
  const answer = await peer.answer();
  assert.equal(answer.code, Code.ResourceExhausted);
  assert.match(answer.message, /^message length \d+ exceed maximum message size of 4194304$/);
  peer.request(5, "Unary");
  assert.equal((await peer.answer()).code, 0);
});

test("1000 open Waits do not delay another call, replies come in the order of completion", async () => {
  const { peer } = serveEcho();
  for (let i = 0; i < 1000; i++) peer.request(2 * i + 1, "Wait");
  peer.request(2001, "Unary");
  assert.equal((await peer.answer()).streamId, 2001);
});

test("a deadline answers code 4 and aborts; a negative one does not stop a handler that ignores it", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const wait = async (_request: unknown, context: CallContext) => {
    await aborted(context.signal);
    resolve(context.signal.reason);
    return {};
  };
  const { peer } = serveEcho({ wait });
  const request = { service: echo.name, method: "Wait", timeoutNano: 20_000_000 };
  peer.send(1, FrameType.Request, 0, ttrpc.Request.encode(request));
  const answer = await peer.answer();
  assert.deepEqual([answer.code, answer.message], [4, "context deadline exceeded"]);
  assert.equal((await promise) instanceof Error, true);
  peer.send(3, FrameType.Request, 0, ttrpc.Request.encode({ ...request, method: "Unary", timeoutNano: -1 }));
  assert.equal((await peer.answer()).code, 0);
});

test("what a handler throws is mapped, a StatusError passes, toStatus can be replaced", async () => {
  const thrown = [Object.assign(new Error("gone"), { code: "ENOENT" }), new Error("odd"), "text"];
  const { peer } = serveEcho({
    unary: async () => {
      throw thrown.shift();
    },
  });
  const codes: string[] = [];
  for (const id of [1, 3, 5]) {
    peer.request(id, "Unary");
    const { code, message } = await peer.answer();
    codes.push(`${code} ${message}`);
  }
  assert.deepEqual(codes, ["5 gone", "2 odd", "2 text"]);
});

test("the context has names, data and lower-case metadata", async () => {
  const server = new Server<{ readonly pod: string }>();
  const seen = Promise.withResolvers<CallContext<{ readonly pod: string }>>();
  const unary = (_request: unknown, context: CallContext<{ readonly pod: string }>) => {
    seen.resolve(context);
    return {};
  };
  server.register(echo, { ...echoImplementation, unary });
  const [near, far] = memoryChannels();
  server.serve(far, { pod: "web" });
  await new Client(near).service(echo).unary({}, { metadata: { Key: ["a", "b"] }, timeoutMs: 5000 });
  const context = await seen.promise;
  assert.deepEqual([context.service, context.method, context.streamId], [echo.name, "Unary", 1]);
  assert.equal(context.data.pod, "web");
  assert.deepEqual(context.metadata.get("key"), ["a", "b"]);
  const leftMs = (context.deadlineMs ?? 0) - performance.now();
  assert.ok(leftMs > 1000 && leftMs <= 5000);
});

test("a closed connection aborts its calls and drops their results", async () => {
  const started = Promise.withResolvers<CallContext>();
  const { peer } = serveEcho({
    wait: async (_request, context) => {
      started.resolve(context);
      await aborted(context.signal);
      return {};
    },
  });
  peer.request(1, "Wait");
  const context = await started.promise;
  peer.channel.close();
  await aborted(context.signal);
});

test("shutdown lets running calls answer, then closes", async () => {
  const release = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  const wait = async () => {
    started.resolve();
    await release.promise;
    return { typeUrl: "last" };
  };
  const { server, peer } = serveEcho({ wait });
  const idle = RawPeer.pair();
  server.serve(idle[1]);
  peer.request(1, "Wait");
  await started.promise;
  const done = server.shutdown();
  await assert.rejects(idle[0].next(), { message: "closed" });
  peer.request(3, "Unary");
  assert.equal((await peer.answer()).streamId, 3);
  release.resolve();
  assert.equal((await peer.answer()).streamId, 1);
  await assert.rejects(peer.next(), { message: "closed" });
  await done;
});

test("a handler that is missing is refused at registration", () => {
  assert.throws(() => new Server().register(echo, { ...echoImplementation, chat: undefined as never }), TypeError);
});
