import assert from "node:assert/strict";
import { test } from "node:test";
import { Logger } from "../log.ts";
import { monitorNotebook } from "../pod/notebook.ts";
import { FakeMonitor } from "../testing/fake-link.ts";
import { type Forward, Outbox, RetryableError } from "./outbox.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);
const text = (envelope: Uint8Array): string => Buffer.from(envelope).toString();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const eventNotes = (monitor: FakeMonitor): string[] => [...monitor.notes.values()].map(text);

/** An outbox of a new monitor, or of one that is there. */
function open(forward: Forward, monitor = new FakeMonitor()) {
  const logged: string[] = [];
  const outbox = new Outbox(monitorNotebook(monitor.open()), forward, new Logger((line) => void logged.push(line)));
  return { monitor, logged, outbox };
}

test("events go out one at a time, in order; each is a note until it was taken", async () => {
  const sent: string[] = [];
  let taken: () => void = () => undefined;
  const { outbox, monitor } = open((envelope) => {
    sent.push(text(envelope));
    return new Promise((resolve) => {
      taken = resolve;
    });
  });
  for (const text of ["a", "b", "c"]) outbox.add(bytes(text));
  assert.deepEqual([sent, eventNotes(monitor)], [["a"], ["a", "b", "c"]]);
  taken();
  await turn();
  assert.deepEqual(
    [sent, eventNotes(monitor)],
    [
      ["a", "b"],
      ["b", "c"],
    ],
  );
  taken();
  await turn();
  taken();
  await outbox.flushed(1000);
  assert.deepEqual([sent, eventNotes(monitor)], [["a", "b", "c"], []]);
});

test("a new event, and who waits for all to be sent, do not wait for the end of a pause", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] }); // no pause ends by itself
  let away = true;
  const sent: string[] = [];
  const { outbox } = open(async (envelope) => {
    if (away) throw new RetryableError("away");
    sent.push(text(envelope));
  });
  outbox.add(bytes("a"));
  await turn();
  away = false;
  outbox.add(bytes("b"));
  await turn();
  assert.deepEqual(sent, ["a", "b"]);
  away = true;
  outbox.add(bytes("c"));
  await turn();
  away = false;
  await outbox.flushed(1000);
  assert.deepEqual(sent, ["a", "b", "c"]);
});

test("while the daemon is away the first is tried again, after ever longer pauses, and none is lost", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let away = true;
  let tries = 0;
  const sent: string[] = [];
  const { outbox, monitor } = open(async (envelope) => {
    tries++;
    if (away) throw new RetryableError("away");
    sent.push(text(envelope));
  });
  outbox.add(bytes("a"));
  outbox.add(bytes("b"));
  await turn();
  const pausesMs = [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000];
  for (const [count, pauseMs] of pausesMs.entries()) {
    t.mock.timers.tick(pauseMs - 1);
    await turn();
    assert.equal(tries, count + 1, `before ${pauseMs} ms are over`);
    t.mock.timers.tick(1);
    await turn();
    assert.equal(tries, count + 2);
  }
  assert.deepEqual(eventNotes(monitor), ["a", "b"]);
  away = false;
  t.mock.timers.tick(5000);
  await turn();
  assert.deepEqual([sent, eventNotes(monitor)], [["a", "b"], []]);
});

test("an event that the daemon refuses is dropped with a line in the log; the next one goes", async () => {
  const sent: string[] = [];
  const { outbox, monitor, logged } = open(async (envelope) => {
    if (text(envelope) === "bad") throw new Error("topic: must start with /");
    sent.push(text(envelope));
  });
  outbox.add(bytes("bad"));
  outbox.add(bytes("good"));
  await outbox.flushed(1000);
  assert.deepEqual([sent, eventNotes(monitor)], [["good"], []]);
  assert.equal(logged.length, 1);
  assert.match(logged[0] ?? "", /event refused.*must start with/);
});

test("too many, or too large: the oldest are dropped, and the log says so", async () => {
  const never: Forward = () => new Promise(() => undefined);
  const many = open(never);
  for (let i = 0; i < 2050; i++) many.outbox.add(bytes(`${i}`));
  assert.equal(many.monitor.notes.size, 2048);
  assert.equal(eventNotes(many.monitor)[0], "2");
  assert.equal(many.logged.length, 2);
  const large = open(never);
  for (let i = 0; i < 40; i++) large.outbox.add(new Uint8Array(64 * 1024).fill(i));
  const kept = [...large.monitor.notes.values()].reduce((sum, note) => sum + note.length, 0);
  assert.ok(kept <= 2 * 1024 * 1024, `${kept} bytes: the monitor takes 4 MiB of notes, all in all`);
  assert.equal([...large.monitor.notes.values()].at(-1)?.[0], 39);
});

test("one that was dropped while it was on its way takes no other with it", async () => {
  const sent: string[] = [];
  const first = Promise.withResolvers<void>();
  const { outbox } = open(async (envelope) => {
    sent.push(text(envelope));
    await first.promise;
  });
  for (let i = 0; i < 2049; i++) outbox.add(bytes(`${i}`));
  first.resolve();
  await outbox.flushed(5000);
  assert.deepEqual([sent.length, sent[0], sent[1]], [2049, "0", "1"]);
});

test("the next task server goes on where the last one was killed", async () => {
  const sent: string[] = [];
  const first = open(() => new Promise(() => undefined));
  for (const text of ["a", "b"]) first.outbox.add(bytes(text));
  const second = open(async (envelope) => void sent.push(text(envelope)), first.monitor);
  second.outbox.add(bytes("c"));
  await second.outbox.flushed(1000);
  assert.deepEqual([sent, eventNotes(second.monitor)], [["a", "b", "c"], []]);
});

test("a flush ends when its time is over, whatever the daemon does", async () => {
  const { outbox } = open(() => new Promise(() => undefined));
  await outbox.flushed(5);
  outbox.add(bytes("a"));
  await outbox.flushed(5);
});
