/** An agent that says what suits it: of an exit, of out-of-memory kills, of its log. What a pod's own guest says may only ever be about that pod, and in bounds. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ANY } from "@trimaran/proto";
import { Logger } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { AgentConnection } from "../agent/connection.ts";
import { followLog } from "../agent/follow-log.ts";
import { LyingAgent } from "../testing/lying-agent.ts";
import { KataContainer } from "./container.ts";
import { checkStats } from "./stats.ts";

const NOW = 1_000_000n;
const NEVER = new Promise<never>(() => undefined);
const EXIT = { exitStatus: 0, exitedAtNs: NOW, oomKills: 0, stdoutOffset: 0, stderrOffset: 0 };

/** A container without streams whose agent has these methods, attached; and what its machine was ended for. */
async function open(methods: Parameters<typeof LyingAgent.open>[1]) {
  const folder = mkdtempSync(join(tmpdir(), "trm-lies-"));
  const hello = () => ({ version: 2, agentVersion: "0", kernel: "0" });
  const agent = await LyingAgent.open(join(folder, "a.sock"), { hello, ...methods });
  const logged: string[] = [];
  const log = new Logger((line) => void logged.push(line));
  const connection = new AgentConnection({ path: agent.path, log });
  const lies: string[] = [];
  connection.onLie = (why) => void lies.push(why);
  const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
  const host = { nowNs: () => NOW, log, monitorPid: process.pid };
  const sandbox = { agent: connection, guest: { vmm: { pid: 7 } } };
  const parts = { request: { id: "web", stdio }, host, sandbox, holder: { key: "init/web" } };
  const container = new KataContainer(parts as unknown as ConstructorParameters<typeof KataContainer>[0]);
  let oomEvents = 0;
  container.watchOom(() => void oomEvents++);
  await container.attach(true);
  const dispose = async (): Promise<void> => {
    connection.close("the test is over");
    await agent[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  };
  return { container, connection, lies, log, logged, oomEvents: () => oomEvents, [Symbol.asyncDispose]: dispose };
}

for (const [what, told, expected] of [
  ["a status that is none", { exitStatus: 70_000 }, { kind: "lost", why: "agent: exit status 70000" }],
  ["the largest status", { exitStatus: 255 }, { kind: "exited", code: 255 }],
  ["a signal", { exitStatus: 137 }, { kind: "signaled", signal: 9 }],
  ["output without end that never comes", { stdoutOffset: 2n ** 53n - 1n }, { kind: "exited", code: 0 }],
] as const)
  test(`an exit with ${what}`, async () => {
    await using guest = await open({ waitProcess: () => ({ ...EXIT, ...told }), waitOom: () => NEVER });
    assert.deepEqual((await guest.container.init.exited()).exit, expected);
  });

for (const [what, exitedAtNs] of [
  ["in a thousand years", 2n ** 62n],
  ["never", 0n],
] as const)
  test(`an exit ${what} is now`, async () => {
    await using guest = await open({ waitProcess: () => ({ ...EXIT, exitedAtNs }), waitOom: () => NEVER });
    assert.equal((await guest.container.init.exited()).exitedAtNs, NOW);
  });

test("one exit is one exit: a guest is asked once, and a second answer is nobody's", async () => {
  let asked = 0;
  await using guest = await open({
    waitProcess() {
      asked++;
      return EXIT;
    },
    waitOom: () => NEVER,
  });
  const first = await guest.container.init.exited();
  await delay(50);
  assert.deepEqual([asked, await guest.container.init.exited()], [1, first]);
});

test("out-of-memory kills one after the other are events at ten a second; one that was told already is a lie", async () => {
  let kills = 0;
  await using guest = await open({ waitProcess: () => NEVER, waitOom: () => ({ kills: ++kills }) });
  await delay(450);
  assert.ok(guest.oomEvents() >= 1 && guest.oomEvents() <= 6, `${guest.oomEvents()}`);
  await using liar = await open({ waitProcess: () => NEVER, waitOom: () => ({ kills: 1 }) });
  await delay(300);
  assert.match(liar.lies[0] ?? "", /OOM kill that was none/);
});

test("a log that goes back, or comes in heaps, is a lie; a line is a value, cut, and forges none", async () => {
  const page = Array.from({ length: 1001 }, () => "x");
  for (const lines of [page, []]) {
    await using guest = await open({
      waitProcess: () => NEVER,
      waitOom: () => NEVER,
      readLog: () => ({ last: 9n, lines }),
    });
    await followLog(guest.connection, guest.log);
    assert.match(guest.lies[0] ?? "", /log lines up to 9, after 0/);
  }
  const hostile = `"}\nlevel=error msg="forged" \u001b[2J ${"y".repeat(100_000)}`;
  let asked = 0;
  const readLog = () => (asked++ === 0 ? { last: 1n, lines: [hostile] } : NEVER);
  await using guest = await open({ waitProcess: () => NEVER, waitOom: () => NEVER, readLog });
  void followLog(guest.connection, guest.log);
  while (guest.logged.length === 0) await delay(5);
  const [line = ""] = guest.logged;
  assert.ok(line.length < 4000 && !line.trimEnd().includes("\n") && !line.includes("\u001b"), line.slice(0, 200));
});

test("stats are decoded and encoded anew, or refused", () => {
  assert.throws(() => checkStats({ typeUrl: "evil.Type", value: Buffer.from("x") }), { code: Code.Unavailable });
  assert.throws(() => checkStats(undefined), { code: Code.Unavailable });
  assert.throws(() => checkStats({ typeUrl: ANY.cgroupV2Metrics, value: Buffer.from([0x0a, 0xff, 0xff]) }));
  const unknownField = Buffer.from([0xfa, 0x3f, 1, 0x78]);
  assert.equal(checkStats({ typeUrl: ANY.cgroupV2Metrics, value: unknownField }).value.length, 0);
});

test("an agent's error has no code or text that reaches further than it may", async () => {
  await using guest = await open({
    waitProcess: () => NEVER,
    waitOom: () => NEVER,
    startProcess() {
      throw new StatusError(Code.NotFound, `\u001b]0;title\u0007\nlevel=fatal ${"z".repeat(50_000)}`);
    },
  });
  const error = await guest.container.start().catch((thrown: unknown) => thrown);
  assert.ok(error instanceof StatusError && error.message.length < 1100);
  for (const control of ["\n", "\u001b", "\u0007"])
    assert.ok(!error.message.includes(control), JSON.stringify(control));
});
