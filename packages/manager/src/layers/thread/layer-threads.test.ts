import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { temporaryDirectory } from "../../testing/temporary-directory.ts";
import { LayerThreads } from "./layer-threads.ts";

/** Threads of this process that unpack layers. */
function layerThreads(): number {
  const names = readdirSync("/proc/self/task").map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, "utf8").trim();
    } catch {
      return ""; // ended meanwhile
    }
  });
  return names.filter((name) => name === "layers").length;
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) assert.fail("it did not come in time");
    await turn();
  }
}

test("a thread is used again, and ends when there is nothing to do", async () => {
  using directory = temporaryDirectory();
  writeFileSync(join(directory.path, "file"), "x");
  await using threads = new LayerThreads({ mountRoot: directory.path, idleMs: 200 });
  assert.equal(layerThreads(), 0, "none before there is a job");
  const job = { kind: "usage", directory: directory.path } as const;
  for (let count = 0; count < 3; count++) {
    assert.equal((await threads.run(job)).inodes, 2);
    assert.equal(layerThreads(), 1);
  }
  await until(() => layerThreads() === 0);
  assert.equal((await threads.run(job)).inodes, 2, "and another one starts");
});

test("no more jobs at once than the limit, and all get their turn", async () => {
  using directory = temporaryDirectory();
  await using threads = new LayerThreads({ mountRoot: directory.path, limit: 2 });
  const job = { kind: "usage", directory: directory.path } as const;
  const running = Array.from({ length: 10 }, () => threads.run(job));
  await until(() => layerThreads() > 0);
  assert.ok(layerThreads() <= 2);
  assert.equal((await Promise.all(running)).length, 10);
});

test("an error keeps its class and code, and the thread is good for more", async () => {
  using directory = temporaryDirectory();
  await using threads = new LayerThreads({ mountRoot: directory.path });
  const source = { blob: { fd: -1, offset: 0, sizeBytes: 10 }, isPlain: true };
  const limits = { bytes: 1, entries: 1 };
  const target = { kind: "directory", directory: "/none" } as const;
  const job = { kind: "apply", source, target, limits, sync: false } as const;
  await assert.rejects(threads.run(job), { name: "LayerSystemError", code: "ENOENT" });
  assert.deepEqual((await threads.run({ kind: "usage", directory: "/none" })).inodes, 0);
  assert.equal(layerThreads(), 1);
});

test("disposing ends the jobs that run, and those that wait", async () => {
  using directory = temporaryDirectory();
  const threads = new LayerThreads({ mountRoot: directory.path, limit: 1 });
  const jobs = Array.from({ length: 3 }, () => threads.run({ kind: "usage", directory: "/usr" }));
  const ended = Promise.all(jobs.map((job) => assert.rejects(job, /^Error: layers: (the thread has ended|closed)$/)));
  await until(() => layerThreads() > 0);
  await threads[Symbol.asyncDispose]();
  await ended;
  assert.equal(layerThreads(), 0);
  await assert.rejects(threads.run({ kind: "usage", directory: "/" }), /closed/);
});
