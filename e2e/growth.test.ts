import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { grown, type Usage } from "./harness/growth.ts";
import { heldKb } from "./harness/held-memory.ts";

const QUIET: Usage = {
  ...{ serverKb: 60_000, serverHeldKb: 12_000, serverFds: 20, monitorKb: 200, monitorFds: 40 },
  ...{ engineFds: 20, things: 40 },
};

function looks(at: (n: number) => Partial<Usage>): Usage[] {
  return Array.from({ length: 50 }, (_, n) => ({ ...QUIET, ...at(n) }));
}

test("what goes up and down has not grown, nor what grew at the beginning only", () => {
  assert.deepEqual(grown(looks((n) => ({ serverKb: 60_000 + (n % 2) * 10_000, serverFds: 20 + (n % 3) * 5 }))), []);
  assert.deepEqual(grown(looks((n) => ({ serverHeldKb: 8000 + Math.min(n, 9) * 1000 }))), []);
});

test("a little more at each look has grown", () => {
  assert.deepEqual(grown(looks((n) => ({ serverHeldKb: 12_000 + n * 40 }))), ["serverHeldKb grew from 12600 to 13800"]);
  assert.deepEqual(grown(looks((n) => ({ serverFds: 20 + n }))), ["serverFds grew from 35 to 65"]);
  assert.deepEqual(grown(looks((n) => ({ things: 40 + 2 * n }))), ["things grew from 70 to 130"]);
});

test("too few looks are no verdict", () => {
  assert.throws(() => grown(looks(() => ({})).slice(0, 14)), { message: /^14 looks: / });
});

test("what a Node process keeps shows in what it holds, and garbage does not", { timeout: 60_000 }, async () => {
  const script = `
    const kept = [];
    process.stdin.on("data", (data) => {
      const objects = Array.from({ length: 100_000 }, (_, n) => ({ n: [n] }));
      if (String(data) === "keep") kept.push(objects);
      process.stdout.write("done");
    }).on("end", () => process.exit());
    process.stdout.write("ready");`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["pipe", "pipe", "ignore"] });
  const { pid = 0, stdin, stdout } = child;
  const asked = async (what: string): Promise<number> => {
    stdin.write(what);
    await once(stdout, "data");
    return await heldKb(pid);
  };
  await once(stdout, "data");
  await heldKb(pid); // the first look makes something itself
  const first = await heldKb(pid);
  const dropped = await asked("drop");
  const kept = await asked("keep");
  stdin.end();
  await once(child, "exit");
  assert.ok(Math.abs(dropped - first) < 300, `${first} KiB, then ${dropped}`);
  assert.ok(kept - dropped > 3000, `${dropped} KiB, then ${kept}`);
});
