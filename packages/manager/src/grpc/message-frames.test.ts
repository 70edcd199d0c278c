import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Code } from "../errors/manager-error.ts";
import { frameHead, readMessages } from "./message-frames.ts";
import { parseTimeoutMs } from "./timeout-header.ts";

async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Buffer> {
  let at = 0;
  for (const size of sizes) {
    yield bytes.subarray(at, at + size);
    at += size;
  }
  yield bytes.subarray(at);
}

async function collect(chunks: AsyncIterable<Buffer>): Promise<string[]> {
  const messages: string[] = [];
  for await (const message of readMessages(chunks, Code.DataLoss)) messages.push(message.toString("hex"));
  return messages;
}

test("messages come out as they went in, wherever the stream is cut", async () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 6 });
  const sizes = fc.array(fc.nat(12), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(messages, sizes, async (sent, cuts) => {
      const bytes = Buffer.concat(sent.flatMap((message) => [frameHead(message.length), message]));
      assert.deepEqual(
        await collect(cut(bytes, cuts)),
        sent.map((message) => Buffer.from(message).toString("hex")),
      );
    }),
  );
});

test("what is too large, compressed or cut off is refused", async () => {
  const large = Buffer.from("0001000001", "hex");
  await assert.rejects(collect(cut(large, [])), { code: Code.ResourceExhausted, message: /16777217 bytes/ });
  await assert.rejects(collect(cut(Buffer.from("0100000000", "hex"), [])), { code: Code.Unimplemented });
  for (const part of ["00", "0000000002", "000000000201"]) {
    await assert.rejects(collect(cut(Buffer.from(part, "hex"), [])), { code: Code.DataLoss });
  }
  assert.throws(() => frameHead((16 << 20) + 1), { code: Code.ResourceExhausted });
});

test("timeouts have a unit; what no timer can do is none", () => {
  const cases = { "10S": 10_000, "1H": 3_600_000, "2M": 120_000, "1500m": 1500, "1u": 1, "1n": 1, "0n": 0 };
  for (const [header, timeoutMs] of Object.entries(cases)) assert.equal(parseTimeoutMs(header), timeoutMs);
  assert.equal(parseTimeoutMs("99999999H"), undefined);
  assert.equal(parseTimeoutMs(undefined), undefined);
  for (const header of ["", "10", "S", "123456789S", "1s", "-1S"]) {
    assert.throws(() => parseTimeoutMs(header), { code: Code.InvalidArgument });
  }
});
