import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { Database } from "./database.ts";
import { readTransactions } from "./testing/crash-job.ts";

const KILLS = 15;
const MAX_TRANSACTIONS = 20;
const MAX_DELAY_MS = 5;

/** Run transactions in a process that is killed at a random moment after a random number of them; the first number that it has not called done. */
async function runUntilKilled(path: string, first: number): Promise<number> {
  const script = join(import.meta.dirname, "testing", "crash-child.ts");
  const child = spawn(process.execPath, [script, path, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  const last = first + Math.floor(Math.random() * MAX_TRANSACTIONS);
  let next = first;
  for await (const line of createInterface(child.stdout)) {
    next = Number(line) + 1;
    if (next === last + 1) void setTimeout(Math.random() * MAX_DELAY_MS).then(() => child.kill("SIGKILL"));
  }
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  return next;
}

test(`${KILLS} kills in the middle of transactions: what was called done is there, nothing is there in part`, async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "meta.db");
  let first = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const next = await runUntilKilled(path, first);
    using database = Database.open(path);
    const found = readTransactions(database).sort((a, b) => a - b);
    const committed = Array.from({ length: next }, (_, number) => number).filter((number) => number % 3 !== 0);
    const unanswered = found.filter((number) => number >= next);
    assert.deepEqual(
      found.filter((number) => number < next),
      committed,
    );
    assert.ok(unanswered.length <= 1, `${unanswered} were begun after one that was not answered`);
    assert.deepEqual(
      database.all("pragma integrity_check"),
      [{ integrity_check: "ok" }].map((row) => Object.assign(Object.create(null), row)),
    );
    first = next + unanswered.length;
  }
});
