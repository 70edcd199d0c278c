import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { test } from "node:test";
import { Code, StatusError } from "../errors/manager-error.ts";
import { type EchoImplementation, inProcess, overSocket } from "../testing/echo-service.ts";
import type { ServiceCall } from "./service-call.ts";

const bytes = (size: number, fill = 7) => ({ value: Buffer.alloc(size, fill) });
const unused = () => assert.fail("not to be called");
const echo: EchoImplementation = {
  one: (request) => request,
  async *many(request) {
    for (const letter of request.typeUrl) yield { typeUrl: letter };
  },
  async *both(requests) {
    for await (const { typeUrl } of requests) yield { typeUrl: typeUrl.toUpperCase() };
  },
};

async function* source(...texts: string[]): AsyncGenerator<{ typeUrl: string }> {
  for (const typeUrl of texts) yield { typeUrl };
}

async function texts(answers: AsyncIterable<{ typeUrl: string }>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { typeUrl } of answers) seen.push(typeUrl);
  return seen;
}

/** Resolves when the call's signal has aborted, to its reason. */
async function aborted({ signal }: ServiceCall): Promise<unknown> {
  if (!signal.aborted) await once(signal, "abort");
  return signal.reason;
}

for (const [name, open] of Object.entries({ overSocket, inProcess })) {
  test(`${name}: all kinds of calls`, async () => {
    await using peer = await open(echo);
    assert.deepEqual(await peer.client.one({ typeUrl: "x" }), { typeUrl: "x", value: new Uint8Array(0) });
    assert.deepEqual(await texts(peer.client.many({ typeUrl: "abc" })), ["a", "b", "c"]);
    assert.deepEqual(await texts(peer.client.many({ typeUrl: "" })), []);
    assert.deepEqual(await texts(peer.client.both(source("a", "b"))), ["A", "B"]);
    assert.deepEqual(await texts(peer.client.both(source())), []);
  });

  test(`${name}: namespace and lease reach the handler`, async () => {
    const one = (_: unknown, call: ServiceCall) => ({ typeUrl: `${call.namespace} ${call.lease}` });
    await using peer = await open({ ...echo, one });
    assert.equal((await peer.client.one({})).typeUrl, "test undefined");
    for (const lease of ["l 1", "/mnt/é, b", ""]) {
      assert.equal((await peer.client.one({}, { lease })).typeUrl, `test ${lease}`);
    }
  });

  test(`${name}: errors keep their code and get the phrase of their class`, async () => {
    const errors: Error[] = [
      new StatusError(Code.NotFound, 'image "x"'),
      new StatusError(Code.NotFound, "task x not found"),
      new StatusError(Code.FailedPrecondition, "namespace is required"),
      new StatusError(Code.OutOfRange, "offset 5: the content has 3 bytes"),
      new StatusError(Code.InvalidArgument, "100% \n é \ud800"),
      new DOMException("aborted", "AbortError"),
    ];
    const one = () => {
      throw errors.shift();
    };
    await using peer = await open({ ...echo, one });
    const expected = [
      [5, 'image "x": not found'],
      [5, "task x not found"],
      [9, "namespace is required: failed precondition"],
      [11, "offset 5: the content has 3 bytes"],
      [3, "100% \n é \ufffd: invalid argument"],
      [1, "aborted"],
    ] as const;
    for (const [code, message] of expected) await assert.rejects(peer.client.one({}), { code, message });
    assert.deepEqual(peer.reported, []);
  });

  test(`${name}: a stream that fails half-way gives what came before, then the error`, async () => {
    async function* many() {
      yield { typeUrl: "a" };
      throw new StatusError(Code.DataLoss, "layer ends early");
    }
    await using peer = await open({ ...echo, many, both: many });
    for (const answers of [peer.client.many({}), peer.client.both(source("never read"))]) {
      const seen: string[] = [];
      const reading = (async () => {
        for await (const { typeUrl } of answers) seen.push(typeUrl);
      })();
      await assert.rejects(reading, { code: Code.DataLoss, message: "layer ends early" });
      assert.deepEqual(seen, ["a"]);
    }
  });

  test(`${name}: the caller's signal cancels, and the handler learns of it`, async () => {
    const seen = Promise.withResolvers<unknown>();
    const begun = Promise.withResolvers<void>();
    const one = async (_: unknown, call: ServiceCall) => {
      begun.resolve();
      seen.resolve(await aborted(call));
      return {};
    };
    await using peer = await open({ ...echo, one });
    const controller = new AbortController();
    const call = peer.client.one({}, { signal: controller.signal });
    await begun.promise;
    controller.abort();
    await assert.rejects(call, { code: Code.Canceled });
    assert.ok(await seen.promise);
    await assert.rejects(peer.client.one({}, { signal: controller.signal }), { code: Code.Canceled });
    await assert.rejects(texts(peer.client.many({}, { signal: controller.signal })), { code: Code.Canceled });
  });

  test(`${name}: a deadline ends the call on both sides`, async () => {
    const seen = Promise.withResolvers<unknown>();
    const many = async function* (_: unknown, call: ServiceCall) {
      yield {};
      seen.resolve(await aborted(call));
    };
    await using peer = await open({ ...echo, many });
    await peer.client.one({}); // connected: the time is the call's own
    await assert.rejects(texts(peer.client.many({}, { timeoutMs: 500 })), { code: Code.DeadlineExceeded });
    assert.ok(await seen.promise);
  });

  test(`${name}: leaving the loop ends the handler, and its finally runs`, async () => {
    const ended = Promise.withResolvers<void>();
    const both = async function* (requests: AsyncIterable<unknown>) {
      try {
        for await (const _ of requests) yield { typeUrl: "x" };
      } finally {
        ended.resolve();
      }
    };
    await using peer = await open({ ...echo, both });
    async function* endless() {
      yield { typeUrl: "1" };
      await new Promise(() => {});
    }
    for await (const answer of peer.client.both(endless())) {
      assert.equal(answer.typeUrl, "x");
      break;
    }
    await ended.promise;
  });

  test(`${name}: leaving the loop of a server's stream ends the handler while it waits`, async () => {
    const ended = Promise.withResolvers<AbortSignal>();
    const many = async function* (_: unknown, call: ServiceCall) {
      try {
        yield {};
        await aborted(call);
      } finally {
        ended.resolve(call.signal);
      }
    };
    await using peer = await open({ ...echo, many });
    for await (const _ of peer.client.many({})) break;
    assert.equal((await ended.promise).aborted, true);
  });

  test(`${name}: requests that fail end the call with their error`, async () => {
    const seen = Promise.withResolvers<unknown>();
    const both = async function* (requests: AsyncIterable<unknown>) {
      try {
        for await (const _ of requests) yield {};
      } catch (error) {
        seen.resolve(error);
        throw error;
      }
    };
    await using peer = await open({ ...echo, both });
    const answered = Promise.withResolvers<void>();
    async function* broken() {
      yield {};
      await answered.promise;
      throw new StatusError(Code.DataLoss, "the file is gone");
    }
    const reading = (async () => {
      for await (const _ of peer.client.both(broken())) answered.resolve();
    })();
    await assert.rejects(reading, { code: Code.DataLoss });
    assert.ok((await seen.promise) instanceof StatusError);
  });

  test(`${name}: a slow reader slows the writer down`, async () => {
    const limit = 100;
    const state = { written: 0 };
    async function* many() {
      for (; state.written < limit; state.written++) yield bytes(1 << 20);
    }
    await using peer = await open({ ...echo, many });
    const answers = peer.client.many({})[Symbol.asyncIterator]();
    await answers.next();
    for (let ticks = 0; ticks < 200; ticks++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(state.written < 60, `${state.written} MiB are on their way to a client that has read one`);
    const rest = await texts({ [Symbol.asyncIterator]: () => answers });
    assert.equal(rest.length, limit - 1);
  });
}

/** The head of a gRPC message, then its bytes. */
function framed(message: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** A frame of HTTP/2 on stream 1, or on the connection. */
function http2Frame(type: number, flags: number, payload: Buffer, stream = 1): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** Begin a call of Both as Go's clients do, with one message. Node's own client cannot reset without a half-close. */
function callBoth(path: string): Socket {
  const socket = createConnection(path);
  socket.on("error", () => {});
  socket.resume();
  const headers = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/test.Echo/Both",
    ":authority": "localhost",
    "content-type": "application/grpc",
  };
  const block = Object.entries(headers).flatMap(([name, value]) => [
    Buffer.from([0, name.length]),
    Buffer.from(name),
    Buffer.from([value.length]),
    Buffer.from(value),
  ]);
  socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  socket.write(http2Frame(4, 0, Buffer.alloc(0), 0));
  socket.write(http2Frame(1, 4, Buffer.concat(block)));
  socket.write(http2Frame(0, 0, framed(Buffer.from([10, 1, 65]))));
  return socket;
}

for (const [name, end, clean] of [
  ["a half-close", (socket) => socket.write(http2Frame(0, 1, Buffer.alloc(0))), true],
  ["a reset", (socket) => socket.write(http2Frame(3, 0, Buffer.from([0, 0, 0, 8]))), false],
  ["half a message", (socket) => socket.write(http2Frame(0, 1, Buffer.alloc(3))), false],
  ["a proper end of the connection", (socket) => socket.end(), false],
  ["a killed client", (socket) => socket.destroy(), false],
] satisfies [string, (socket: Socket) => void, boolean][]) {
  test(`the end of requests is told from a client that has gone: ${name}`, async () => {
    const events = new EventEmitter<{ begun: []; outcome: [boolean] }>();
    const both = async function* (requests: AsyncIterable<unknown>) {
      const state = { clean: false };
      try {
        for await (const _ of requests) {
          events.emit("begun");
          yield {};
        }
        state.clean = true;
      } finally {
        events.emit("outcome", state.clean);
      }
    };
    await using peer = await overSocket({ ...echo, both });
    for (let round = 0; round < 30; round++) {
      const begun = once(events, "begun");
      const socket = callBoth(peer.path);
      await begun;
      const seen = once(events, "outcome");
      end(socket);
      assert.deepEqual(await seen, [clean]);
      socket.destroy();
    }
    assert.deepEqual(peer.reported, []);
  });
}

test("what is no status is Internal and reported, with its stack", async () => {
  const bug = new TypeError("x is not a function");
  const one = () => {
    throw bug;
  };
  await using peer = await overSocket({ ...echo, one });
  await assert.rejects(peer.client.one({}), { code: Code.Internal, message: "x is not a function" });
  assert.deepEqual(peer.reported, [bug]);
});

test("messages have up to 16 MiB, larger ones are refused in both directions", async () => {
  const one = ({ typeUrl, value }: { typeUrl: string; value: Uint8Array }) =>
    typeUrl === "" ? { typeUrl: String(value.length) } : bytes(Number(typeUrl));
  await using peer = await overSocket({ ...echo, one });
  assert.equal((await peer.client.one(bytes(15 << 20))).typeUrl, String(15 << 20));
  assert.equal((await peer.client.one({ typeUrl: String(15 << 20) })).value.length, 15 << 20);
  await assert.rejects(peer.client.one(bytes(17 << 20)), { code: Code.ResourceExhausted });
  await assert.rejects(peer.client.one({ typeUrl: String(17 << 20) }), { code: Code.ResourceExhausted });
});

test("an answer that cannot be encoded is a bug, and the stream ends", async () => {
  async function* many() {
    yield { typeUrl: 5 as unknown as string };
  }
  await using peer = await overSocket({ ...echo, many });
  await assert.rejects(texts(peer.client.many({})), { code: Code.Internal });
  assert.equal(peer.reported.length, 1);
});

test("a deadline also ends the wait for a client that says nothing", async () => {
  const seen = Promise.withResolvers<unknown>();
  const both = async function* (requests: AsyncIterable<unknown>) {
    try {
      for await (const _ of requests) yield {};
    } catch (error) {
      seen.resolve(error);
    }
  };
  await using peer = await overSocket({ ...echo, both });
  async function* silent() {
    yield {};
    await new Promise(() => {});
  }
  await peer.client.one({}); // connected: the time is the call's own
  await assert.rejects(texts(peer.client.both(silent(), { timeoutMs: 500 })), { code: Code.DeadlineExceeded });
  assert.ok((await seen.promise) instanceof StatusError);
});

test("a client may give up any number of streams", async () => {
  const many = async function* (_: unknown, call: ServiceCall) {
    yield {};
    await aborted(call);
  };
  await using peer = await overSocket({ ...echo, many });
  for (let round = 0; round < 1100; round++) {
    for await (const _ of peer.client.many({})) break;
  }
});

test("a server that stops aborts its calls and waits for their handlers", async () => {
  const begun = Promise.withResolvers<void>();
  const state = { ended: false };
  const one = async (_: unknown, call: ServiceCall) => {
    begun.resolve();
    const reason = await aborted(call);
    state.ended = true;
    throw reason;
  };
  const peer = await overSocket({ ...echo, one });
  const call = peer.client.one({});
  const failed = assert.rejects(call, StatusError);
  await begun.promise;
  await peer[Symbol.asyncDispose]();
  assert.equal(state.ended, true);
  await failed;
});

test("a client of nothing is Unavailable", async () => {
  const peer = await overSocket({ one: unused, many: unused, both: unused });
  await peer[Symbol.asyncDispose]();
  await assert.rejects(peer.client.one({}), { code: Code.Unavailable });
  await assert.rejects(texts(peer.client.many({})), { code: Code.Unavailable });
});
