import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ProtocolError } from "./bytes.ts";
import { BODY_LIMIT_BYTES, decodeMessage, encodeMessage, HEADER_BYTES, type Message, MessageType } from "./message.ts";
import { MessageStream } from "./message-stream.ts";

const u8 = fc.nat(0xff);
const u16 = fc.nat(0xffff);
const u32 = fc.nat(0xffffffff);
const i32 = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
const str = fc.string({ unit: "grapheme", maxLength: 40 }).filter((text) => !text.includes("\0"));
const bytes = fc.uint8Array({ maxLength: 200 }).map((content) => Buffer.from(content));
const strs = fc.array(str, { maxLength: 5 });
const only = <V>(value: V): fc.Arbitrary<V> => fc.constant(value);

const OPEN_ENDED = new Set<number>([MessageType.Frame, MessageType.Send, MessageType.Proc]);

function plain(message: Message): Message {
  return message.type === MessageType.Spawn
    ? { ...message, streams: message.streams.map((s) => ({ ...s })) }
    : { ...message };
}

/** Records as they come from fast-check have no prototype; decoded ones do. */
const anyMessage: fc.Arbitrary<Message> = fc
  .oneof(
    fc.record({ type: only(MessageType.Start), argv: strs, env: strs, cwd: str, stdin: bytes, pid: u32 }),
    fc.record({ type: only(MessageType.Answer), kind: u8, code: i32, stdout: bytes, stderr: bytes, program: bytes }),
    fc.record({ type: only(MessageType.Hello), flags: u16, version: u32, pid: u32, identity: str }),
    fc.record({ type: only(MessageType.Note), key: str, value: bytes }),
    fc.record({
      type: only(MessageType.Proc),
      key: str,
      flags: u16,
      pid: u32,
      step: u32,
      errno: u32,
      waitStatus: i32,
      exitedAtNs: u64,
      startTime: u64,
      last: bytes,
    }),
    fc.record({ type: fc.constantFrom(MessageType.Ready, MessageType.Exit) }),
    fc.record({ type: only(MessageType.Bye), readBytes: u64 }),
    fc.record({ type: only(MessageType.Welcome), version: u32, pid: u32 }),
    fc.record({ type: only(MessageType.Frame), flags: u16, conn: u32, frame: bytes }),
    fc.record({ type: only(MessageType.Send), conn: u32, frames: bytes }),
    fc.record({ type: only(MessageType.ConnClosed), conn: u32 }),
    fc.record({
      type: only(MessageType.Spawn),
      key: str,
      streams: fc.array(fc.record({ fromSlot: u8, toSlot: u8, flags: u16 }), { maxLength: 4 }),
      watches: fc.array(u8, { maxLength: 4 }),
      program: bytes,
    }),
    fc.record({ type: only(MessageType.Run), seq: u32, conn: u32, stream: u32, nth: u16, key: str, program: bytes }),
    fc.record({ type: only(MessageType.Result), seq: u32, step: u32, errno: u32, value: u64 }),
    fc.record({ type: fc.constantFrom(MessageType.Gate, MessageType.Forget), key: str }),
    fc.record({ type: only(MessageType.Sync), key: str, code: u32, value: u64, hasFd: fc.boolean(), data: bytes }),
    fc.record({ type: only(MessageType.SyncReply), key: str, errno: u32, value: u64 }),
    fc.record({ type: only(MessageType.Watch), key: str, slot: u8, data: bytes }),
    fc.record({ type: fc.constantFrom(MessageType.Ping, MessageType.Pong), token: u64 }),
  )
  .map((message) => plain(message));

function decodeAll(chunks: readonly Uint8Array[]): Message[] {
  const stream = new MessageStream();
  return chunks.flatMap((chunk) => [...stream.push(chunk)]);
}

test("what is encoded comes back, however the bytes are cut", () => {
  fc.assert(
    fc.property(fc.array(anyMessage, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 8 }), (messages, cuts) => {
      const all = Buffer.concat(messages.map((message) => encodeMessage(message)));
      const at = [...new Set(cuts.map((cut) => Math.min(cut, all.length)))].sort((a, b) => a - b);
      const chunks = [0, ...at].map((start, i) => all.subarray(start, [...at, all.length][i]));
      assert.deepEqual(decodeAll(chunks), messages);
    }),
    { numRuns: 500 },
  );
});

test("a truncated or padded body throws", () => {
  fc.assert(
    fc.property(anyMessage, fc.nat(), (message, seed) => {
      const whole = encodeMessage(message);
      const body = whole.subarray(HEADER_BYTES);
      if (OPEN_ENDED.has(message.type)) return;
      if (body.length)
        assert.throws(() => decodeMessage(message.type, 0, body.subarray(0, seed % body.length)), ProtocolError);
      assert.throws(() => decodeMessage(message.type, 0, Buffer.concat([body, Buffer.alloc(1)])), ProtocolError);
    }),
  );
});

test("random bytes throw ProtocolError or decode, nothing else", () => {
  fc.assert(
    fc.property(fc.nat(25), bytes, (type, body) => {
      try {
        decodeMessage(type, 0, body);
      } catch (error) {
        assert.ok(error instanceof ProtocolError);
      }
    }),
    { numRuns: 2000 },
  );
});

test("a body above 8 MiB is refused before it is buffered", () => {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(BODY_LIMIT_BYTES + 1, 0);
  assert.throws(() => [...new MessageStream().push(header)], ProtocolError);
  assert.throws(
    () => encodeMessage({ type: MessageType.Send, conn: 1, frames: Buffer.alloc(BODY_LIMIT_BYTES) }),
    ProtocolError,
  );
});

test("a string with a NUL is refused", () => {
  assert.throws(() => encodeMessage({ type: MessageType.Gate, key: "a\0b" }), ProtocolError);
  assert.throws(() => decodeMessage(MessageType.Gate, 0, Buffer.from([3, 0, 0x61, 0, 0x62])), ProtocolError);
});
