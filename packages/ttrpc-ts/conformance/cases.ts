import assert from "node:assert/strict";
import { Code, MAX_PAYLOAD_BYTES, type ServiceClient } from "../src/index.ts";
import type { echo } from "./echo.ts";

type Case = (client: ServiceClient<typeof echo>) => Promise<void>;

async function echoOf(client: ServiceClient<typeof echo>, sizeBytes: number): Promise<void> {
  const value = Buffer.from(Uint8Array.from({ length: sizeBytes }, (_, i) => i));
  const answer = await client.unary({ typeUrl: "size", value });
  assert.ok(value.equals(answer.value));
}

async function collect(stream: AsyncIterable<{ readonly typeUrl: string }>): Promise<string[]> {
  const names: string[] = [];
  for await (const { typeUrl } of stream) names.push(typeUrl);
  return names;
}

/** What any server of Echo must do, by the name of the case. */
export const cases: Readonly<Record<string, Case>> = {
  "echo of nothing": (client) => echoOf(client, 0),
  "echo of 100 bytes": (client) => echoOf(client, 100),
  "echo of 4 MB": (client) => echoOf(client, MAX_PAYLOAD_BYTES - 200),
  "200 calls at once": async (client) => {
    const names = Array.from({ length: 200 }, (_, i) => `call ${i}`);
    const answers = await Promise.all(names.map((typeUrl) => client.unary({ typeUrl })));
    assert.deepEqual(
      answers.map(({ typeUrl }) => typeUrl),
      names,
    );
  },
  "error codes": async (client) => {
    for (const code of Object.values(Code)) {
      const call = client.fail({ typeUrl: String(code), value: Buffer.from("why: é") });
      await assert.rejects(call, { name: "StatusError", code, message: "why: é" });
    }
  },
  "request too big": async (client) => {
    const message = /exceed maximum message size of 4194304/;
    const call = client.unary({ value: Buffer.alloc(MAX_PAYLOAD_BYTES) });
    await assert.rejects(call, { code: Code.ResourceExhausted, message });
  },
  deadline: async (client) => {
    await assert.rejects(client.wait({}, { timeoutMs: 100 }), { code: Code.DeadlineExceeded });
  },
  "signal, then another call": async (client) => {
    await assert.rejects(client.wait({}, { signal: AbortSignal.timeout(20) }), { code: Code.Canceled });
    await echoOf(client, 10);
  },
  metadata: async (client) => {
    const metadata = { "Containerd-Namespace-TTRPC": ["a", "b"] };
    const { typeUrl } = await client.metadata({ typeUrl: "containerd-namespace-ttrpc" }, { metadata });
    assert.equal(typeUrl, "[a b]");
  },
};

/** The same for servers that have streams. */
export const streamCases: Readonly<Record<string, Case>> = {
  "stream upload": async (client) => {
    const stream = client.upload();
    for (let i = 0; i < 1000; i++) await stream.send({ value: Buffer.alloc(i) });
    stream.closeSend();
    assert.equal((await stream.response()).typeUrl, "1000 messages, 499500 bytes");
  },
  "stream download": async (client) => {
    const names = await collect(client.download({ typeUrl: "1000" }));
    assert.deepEqual(
      names,
      Array.from({ length: 1000 }, (_, i) => String(i)),
    );
  },
  "stream download of nothing": async (client) => {
    assert.deepEqual(await collect(client.download({ typeUrl: "0" })), []);
  },
  "stream download with an error": async (client) => {
    const stream = client.download({ typeUrl: "3", value: Buffer.from("too late") });
    await assert.rejects(collect(stream), { code: Code.Aborted, message: "too late" });
  },
  "stream chat, client ends": async (client) => {
    const stream = client.chat();
    const answers = stream[Symbol.asyncIterator]();
    for (let i = 0; i < 100; i++) {
      await stream.send({ typeUrl: `round ${i}` });
      assert.equal((await answers.next()).value?.typeUrl, `round ${i}`);
    }
    stream.closeSend();
    assert.equal((await answers.next()).done, true);
  },
  "stream chat, server ends": async (client) => {
    const stream = client.chat();
    await stream.send({ typeUrl: "bye" });
    assert.deepEqual(await collect(stream), []);
    await assert.rejects(stream.send({}), { code: Code.FailedPrecondition });
  },
  "stream chat, server fails": async (client) => {
    const stream = client.chat();
    await stream.send({ typeUrl: "fail" });
    await assert.rejects(collect(stream), { code: Code.Aborted, message: "as asked" });
  },
};
