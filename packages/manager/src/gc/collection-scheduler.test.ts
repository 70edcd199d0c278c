import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { CollectionScheduler } from "./collection-scheduler.ts";

/** A scheduler on a clock that the test moves; each run ends when the test says so. */
function openScheduler(t: TestContext) {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const runs: PromiseWithResolvers<void>[] = [];
  const errors: unknown[] = [];
  const run = (): Promise<void> => {
    const ends = Promise.withResolvers<void>();
    runs.push(ends);
    return ends.promise;
  };
  const scheduler = new CollectionScheduler({ run, onError: (error) => errors.push(error) });
  const finish = async (index: number): Promise<void> => {
    runs[index]?.resolve();
    await settled();
  };
  return { scheduler, runs, errors, finish, tick: (ms: number) => t.mock.timers.tick(ms) };
}

function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("a run comes 100 ms after the start, 250 ms after the first deletion, and else never", async (t) => {
  const { scheduler, runs, finish, tick } = openScheduler(t);
  tick(99);
  assert.equal(runs.length, 0);
  tick(1);
  assert.equal(runs.length, 1);
  await finish(0);
  tick(1_000_000);
  assert.equal(runs.length, 1);
  scheduler.deleted();
  tick(200);
  scheduler.deleted();
  tick(49);
  assert.equal(runs.length, 1);
  tick(1);
  assert.equal(runs.length, 2);
  await finish(1);
  tick(1000);
  assert.equal(runs.length, 2);
  await scheduler[Symbol.asyncDispose]();
});

test("100 changes make a run, and a run forgets those before it", async (t) => {
  const { scheduler, runs, finish, tick } = openScheduler(t);
  tick(100);
  await finish(0);
  for (let count = 0; count < 99; count++) scheduler.changed();
  tick(1000);
  assert.equal(runs.length, 1);
  scheduler.changed();
  tick(1);
  assert.equal(runs.length, 2);
  await finish(1);
  scheduler.changed();
  tick(1000);
  assert.equal(runs.length, 2);
  await scheduler[Symbol.asyncDispose]();
});

test("who collects gets a run that began after the call, shared with others who wait", async (t) => {
  const { scheduler, runs, finish, tick } = openScheduler(t);
  const done: string[] = [];
  const first = scheduler.collect().then(() => done.push("first"));
  assert.equal(runs.length, 1, "at once");
  tick(1000);
  const second = scheduler.collect().then(() => done.push("second"));
  const third = scheduler.collect().then(() => done.push("third"));
  await finish(0);
  assert.deepEqual(done, ["first"]);
  assert.equal(runs.length, 2, "one for both");
  await finish(1);
  await Promise.all([first, second, third]);
  assert.deepEqual(done, ["first", "second", "third"]);
  await scheduler[Symbol.asyncDispose]();
});

test("a failed run is told to who waits, else to the log, and the next one runs all the same", async (t) => {
  const { scheduler, runs, errors, finish, tick } = openScheduler(t);
  const waiting = assert.rejects(scheduler.collect(), /disk/);
  const after = scheduler.collect();
  runs[0]?.reject(new Error("disk"));
  await waiting;
  await settled();
  await finish(1);
  await after;
  assert.deepEqual(errors, []);
  scheduler.deleted();
  tick(250);
  runs[2]?.reject(new Error("again"));
  await settled();
  assert.deepEqual(errors.map(String), ["Error: again"]);
  await scheduler[Symbol.asyncDispose]();
});

test("the end waits for runs that were asked for and starts no others", async (t) => {
  const { scheduler, runs, finish, tick } = openScheduler(t);
  scheduler.deleted();
  const asked = scheduler.collect();
  let ended = false;
  const ending = scheduler[Symbol.asyncDispose]().then(() => {
    ended = true;
  });
  await settled();
  assert.equal(ended, false);
  await finish(0);
  await Promise.all([asked, ending]);
  scheduler.deleted();
  tick(1000);
  assert.equal(runs.length, 1);
});
