import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Logger } from "@trimaran/shim-core";
import { Code, encodeFrame, StatusError } from "ttrpc-ts";
import { LyingAgent } from "../testing/lying-agent.ts";
import { AgentConnection } from "./connection.ts";

const hello = () => ({ version: 2, agentVersion: "0", kernel: "0" });

/** An agent, and a connection to it. */
async function open(
  ...args: [methods: Parameters<typeof LyingAgent.open>[1], ways?: Parameters<typeof LyingAgent.open>[2]]
) {
  const folder = mkdtempSync(join(tmpdir(), "trm-agent-"));
  const agent = await LyingAgent.open(join(folder, "a.sock"), ...args);
  const lies: string[] = [];
  const logged: string[] = [];
  const log = new Logger((line) => void logged.push(line));
  const connection = new AgentConnection({ path: agent.path, log, watchdogLimitMs: 300 });
  connection.onLie = (why) => void lies.push(why);
  const dispose = async (): Promise<void> => {
    connection.close("the test is over");
    await agent[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  };
  return { agent, connection, lies, logged, [Symbol.asyncDispose]: dispose };
}

const inspect = (connection: AgentConnection, limitMs = 5000) =>
  connection.call(({ agent }, options) => agent.inspectProcess({ id: "a" }, options), { limitMs });

test("what an earlier conversation has left in the port is dropped, whatever it is", async () => {
  const before = () => randomBytes(100_000);
  await using pair = await open({ hello, inspectProcess: () => ({ pid: 7 }) }, { before });
  assert.equal((await inspect(pair.connection)).pid, 7);
});

test("a call is made again when the connection is lost under it; one that has no limit, too", async () => {
  let calls = 0;
  await using pair = await open({
    hello,
    inspectProcess() {
      calls++;
      if (calls > 3) return { pid: calls };
      pair.agent.cut();
      return new Promise(() => undefined);
    },
  });
  assert.equal((await inspect(pair.connection, 0)).pid, 4);
  assert.equal(pair.agent.conversations, 4);
});

test("an agent's error is its own: not tried again, and its text can't forge lines", async () => {
  let calls = 0;
  await using pair = await open({
    hello,
    inspectProcess() {
      calls++;
      throw new StatusError(Code.NotFound, `a\nlevel=error \u001b[31m${"x".repeat(5000)}`);
    },
  });
  const error = await inspect(pair.connection).catch((caught: unknown) => caught);
  assert.ok(error instanceof StatusError && error.code === Code.NotFound && calls === 1);
  assert.ok(!error.message.includes("\n") && !error.message.includes("\u001b") && error.message.length < 1100);
});

test("another protocol version is a lie, and the end", async () => {
  await using pair = await open({ hello: () => ({ version: 1, agentVersion: "", kernel: "" }) });
  await assert.rejects(inspect(pair.connection), { code: Code.Unavailable, message: /version/ });
  assert.equal(pair.lies.length, 1);
  await assert.rejects(inspect(pair.connection), { code: Code.Unavailable });
});

test("an agent that does not answer is Unavailable within the limit", async () => {
  await using pair = await open({ hello, inspectProcess: () => new Promise(() => undefined) });
  await assert.rejects(inspect(pair.connection, 200), { code: Code.Unavailable, message: /does not answer/ });
});

test("one that has become silent altogether is given up, with what waits; one that still greets is not", async () => {
  let isSilent = false;
  const forever = () => new Promise<never>(() => undefined);
  const greet = () => (isSilent ? forever() : hello());
  await using pair = await open({ hello: greet, inspectProcess: forever, waitProcess: forever });
  const wait = pair.connection.call(({ agent }) => agent.waitProcess({ id: "a" }), { limitMs: 0 });
  wait.catch(() => undefined);
  await assert.rejects(inspect(pair.connection, 100), { message: /does not answer/ });
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.deepEqual([pair.lies, pair.connection.end], [[], undefined]);
  isSilent = true;
  await assert.rejects(inspect(pair.connection, 100), { message: /does not answer/ });
  await assert.rejects(wait, { code: Code.Unavailable, message: /does not answer: nothing in 300 ms/ });
  assert.equal(pair.lies.length, 1);
  assert.match(pair.logged.join(""), /the guest is stuck/);
});

test("frames that are too long, of no stream, and rubbish: the call fails or is made again, nothing is kept", async () => {
  let rounds = 0;
  const raw = (socket: { write(bytes: Uint8Array): unknown; destroy(): unknown }) => {
    rounds++;
    const header = Buffer.alloc(10);
    header.writeUInt32BE(0xffffffff, 0); // 4 GiB are announced
    socket.write(encodeFrame({ streamId: 77, type: 2, flags: 0, payload: Buffer.from("nobody asked") }));
    socket.write(header);
    socket.write(randomBytes(1 << 20));
    socket.destroy();
  };
  await using pair = await open({}, { raw });
  const before = process.memoryUsage().rss;
  await assert.rejects(inspect(pair.connection, 1500), (error) => error instanceof StatusError);
  assert.ok(rounds >= 2, `${rounds}`);
  assert.ok(process.memoryUsage().rss - before < 200 << 20);
});

test("the guest's end ends a call that waits, with the reason", async () => {
  await using pair = await open({ hello, waitProcess: () => new Promise(() => undefined) });
  const wait = pair.connection.call(({ agent }) => agent.waitProcess({ id: "a" }), { limitMs: 0 });
  await inspect(pair.connection).catch(() => undefined);
  pair.connection.close("qemu: killed by signal 9");
  await assert.rejects(wait, { code: Code.Unavailable, message: "qemu: killed by signal 9" });
});
