import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Logger } from "@trimaran/shim-core";
import { AgentConnection } from "../agent/connection.ts";
import { LyingAgent } from "../testing/lying-agent.ts";
import { OutputPump } from "./output-pump.ts";
import { AgentProcess } from "./remote-process.ts";

/** A pump without a reader, fed by `answer`. Resolves with its offset at the end, and the lies that were noticed. */
async function pump(answer: (offset: number) => { data: Uint8Array; end: boolean }) {
  const folder = mkdtempSync(join(tmpdir(), "trm-pump-"));
  const hello = () => ({ version: 2, agentVersion: "0", kernel: "0" });
  const readOutput = ({ offset }: { offset: bigint }) => answer(Number(offset));
  await using agent = await LyingAgent.open(join(folder, "a.sock"), { hello, readOutput });
  const lies: string[] = [];
  const log = new Logger(() => undefined);
  const connection = new AgentConnection({ path: agent.path, log });
  connection.onLie = (why) => void lies.push(why);
  const remote = new AgentProcess(connection, "a", "");
  const copied = new OutputPump((offset) => remote.read(1, offset), undefined, 0);
  await copied.ended;
  connection.close("the test is over");
  rmSync(folder, { recursive: true });
  return { offset: copied.offset, lies };
}

test("output is asked for by offset, to its end", async () => {
  const all = Buffer.from("abcdefghij");
  const offsets: number[] = [];
  const { offset, lies } = await pump((at) => {
    offsets.push(at);
    return { data: all.subarray(at, at + 4), end: at + 4 >= all.length };
  });
  assert.deepEqual([offset, offsets, lies], [10, [0, 4, 8], []]);
});

test("more than was asked for is a lie, and so is an answer with nothing", async () => {
  assert.match(
    (await pump(() => ({ data: Buffer.alloc(300_000), end: false }))).lies[0] ?? "",
    /300000 bytes of output/,
  );
  assert.match((await pump(() => ({ data: Buffer.alloc(0), end: false }))).lies[0] ?? "", /with nothing/);
});
