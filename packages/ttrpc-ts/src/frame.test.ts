import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Code, encodeFrame, type Frame, FrameReader, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "./index.ts";

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const u8 = fc.integer({ min: 0, max: 255 });
const frame = fc.record({ streamId: u32, type: u8, flags: u8, payload: fc.uint8Array({ maxLength: 300 }) });

function plain(frames: readonly Frame[]): object[] {
  return frames.map((each) => ({ ...each, payload: Buffer.from(each.payload).toString("hex") }));
}

test("a header is 10 bytes, big endian", () => {
  const bytes = encodeFrame({ streamId: 0x01020304, type: 2, flags: 5, payload: Buffer.from("hey") });
  assert.equal(Buffer.from(bytes).toString("hex"), "00000003010203040205686579");
});

test("frames cut at every byte are put together again", () => {
  const sent = [5, 0, 300].map((size, i) => ({ streamId: i + 1, type: 1, flags: i, payload: Buffer.alloc(size, i) }));
  const bytes = Buffer.concat(sent.map(encodeFrame));
  for (let cut = 0; cut <= bytes.length; cut++) {
    const reader = new FrameReader();
    const got = [...reader.feed(bytes.subarray(0, cut)), ...reader.feed(bytes.subarray(cut))];
    assert.deepEqual(plain(got), plain(sent), `cut at ${cut}`);
  }
});

test("any frames in any chunks come out the same", () => {
  fc.assert(
    fc.property(fc.array(frame, { maxLength: 8 }), fc.array(fc.integer({ min: 1, max: 40 })), (sent, sizes) => {
      const bytes = Buffer.concat(sent.map(encodeFrame));
      const reader = new FrameReader();
      const got: Frame[] = [];
      for (let at = 0, turn = 0; at < bytes.length; turn++) {
        const size = sizes[turn % Math.max(1, sizes.length)] ?? bytes.length;
        got.push(...reader.feed(bytes.subarray(at, at + size)));
        at += size;
      }
      assert.deepEqual(plain(got), plain(sent));
    }),
  );
});

test("a frame above 4 MiB is skipped, and the next one is whole", () => {
  const size = MAX_PAYLOAD_BYTES + 1;
  const big = Buffer.concat([
    encodeFrame({ streamId: 7, type: 3, flags: 1, payload: new Uint8Array() }),
    Buffer.alloc(size),
  ]);
  big.writeUInt32BE(size, 0);
  const next = { streamId: 9, type: 1, flags: 0, payload: Buffer.from("next") };
  const bytes = Buffer.concat([big, encodeFrame(next), big]);
  for (const chunkBytes of [1000, 65536, bytes.length, 4]) {
    const reader = new FrameReader();
    const got: Frame[] = [];
    for (let at = 0; at < bytes.length; at += chunkBytes) got.push(...reader.feed(bytes.subarray(at, at + chunkBytes)));
    const skipped = { streamId: 7, type: 3, flags: 1, payload: new Uint8Array(), oversizedBytes: size };
    assert.deepEqual(plain(got), plain([skipped, next, skipped]));
  }
});

test("exactly 4 MiB passes both ways, one more is refused by the sender", () => {
  const payload = Buffer.alloc(MAX_PAYLOAD_BYTES, 1);
  const [got] = new FrameReader().feed(encodeFrame({ streamId: 1, type: 1, flags: 0, payload }));
  assert.ok(got !== undefined && payload.equals(got.payload));
  const message = "message length 4194305 exceed maximum message size of 4194304";
  const tooLong = { streamId: 1, type: 1, flags: 0, payload: Buffer.alloc(MAX_PAYLOAD_BYTES + 1) };
  assert.throws(() => encodeFrame(tooLong), { code: Code.ResourceExhausted, message });
});

test("a header that announces much makes the reader hold only what has come", () => {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAX_PAYLOAD_BYTES, 0);
  const readers = Array.from({ length: 2000 }, () => new FrameReader());
  const before = process.memoryUsage().arrayBuffers;
  for (const reader of readers) assert.deepEqual(reader.feed(header), []);
  assert.ok(process.memoryUsage().arrayBuffers - before < 1 << 20);
  assert.equal(readers.length, 2000);
});
