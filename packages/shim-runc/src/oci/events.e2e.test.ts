import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { OURS, Place, RUNC, Runtime } from "./testing/oci-runtime.ts";

// Whatever the machine's cgroups are: e2e/vm runs this with v2 alone.
let place: Place;
before(() => {
  place = new Place();
});
after(() => place[Symbol.dispose]());

interface Event {
  readonly type: string;
  readonly id: string;
  readonly data?: { readonly pids: { readonly current: number }; readonly memory: { readonly usage: object } };
}

/** `events` as it runs: its lines one by one, and its end. */
function follow(runtime: Runtime, ...words: string[]) {
  const [file = "", ...args] = runtime.argv;
  const child: ChildProcess = spawn(file, [...args, "events", ...words], { stdio: ["ignore", "pipe", "inherit"] });
  assert.ok(child.stdout);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    ended: once(child, "exit"),
    next: async (): Promise<Event | undefined> => {
      const { value, done } = await lines.next();
      return done ? undefined : (JSON.parse(value as string) as Event);
    },
  };
}

const HOG = "dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null";
const limited = (limit: number) => ({ resources: { memory: { limit }, pids: { limit: 60 } } });

test("events: figures at once and at each interval, every OOM kill as it happens, the end with the container's", async () => {
  const runtime = new Runtime(place, OURS, "events");
  place.configure(`until test -e /tmp/go; do sleep 0.05; done; sh -c '${HOG}'; exec sleep 1000`, (spec) =>
    Object.assign(spec.linux, limited(32 << 20)),
  );
  assert.equal(runtime.quiet("run", "--detach", "e"), 0);
  const events = follow(runtime, "--interval", "300ms", "e");
  for (const _ of [1, 2]) {
    const event = await events.next();
    assert.deepEqual([event?.type, event?.id], ["stats", "e"]);
    assert.ok((event?.data?.pids.current ?? 0) >= 1);
  }
  assert.equal(runtime.run("exec", "e", "sh", "-c", "echo > /tmp/go").code, 0);
  const next = async (type: string) => {
    let event = await events.next();
    while (event !== undefined && event.type !== type) event = await events.next();
    return event;
  };
  assert.deepEqual(await next("oom"), { type: "oom", id: "e" });
  assert.equal(runtime.status("e"), "running");
  assert.equal(runtime.run("exec", "e", "sh", "-c", HOG).code, 137);
  assert.deepEqual(await next("oom"), { type: "oom", id: "e" });
  assert.equal(runtime.run("delete", "--force", "e").code, 0);
  assert.equal(await next("none"), undefined);
  assert.deepEqual(await events.ended, [0, null]);
});

test("events of a container whose init is killed: the kill is told before the end", async () => {
  const runtime = new Runtime(place, OURS, "killed");
  place.configure(`until test -e /tmp/now; do sleep 0.05; done; exec ${HOG}`, (spec) =>
    Object.assign(spec.linux, limited(32 << 20)),
  );
  assert.equal(runtime.quiet("run", "--detach", "k"), 0);
  const events = follow(runtime, "--interval", "1h", "k");
  assert.equal((await events.next())?.type, "stats");
  assert.equal(runtime.run("exec", "k", "sh", "-c", "echo > /tmp/now").code, 0);
  assert.equal((await events.next())?.type, "oom");
  assert.equal(await events.next(), undefined);
  assert.deepEqual(await events.ended, [0, null]);
  assert.equal(runtime.run("delete", "k").code, 0);
});

/** Names of all figures, `cpu.usage.total`. Not of what cpuacct.usage_all splits: containerd's Metrics, from which ours are, have no such thing. */
function names(value: object, prefix = ""): string[] {
  return Object.entries(value).flatMap(([key, child]: [string, unknown]) => {
    if (/^percpu/.test(key)) return [];
    return typeof child === "object" && child !== null ? names(child, `${prefix}${key}.`) : [`${prefix}${key}`];
  });
}

test("events --stats: runc's names; figures that are right; what is wrong with the flags", () => {
  const [ours, theirs] = [new Runtime(place, OURS, "stats"), new Runtime(place, RUNC, "stats-runc")];
  place.configure("exec sleep 1000", (spec) => Object.assign(spec.linux, limited(64 << 20)));
  const [mine, control] = [ours, theirs].map((runtime) => {
    assert.equal(runtime.quiet("run", "--detach", "s"), 0);
    const { code, out } = runtime.run("events", "--stats", "s");
    assert.equal(code, 0);
    return JSON.parse(out) as { data: Record<string, unknown> };
  });
  const known = new Set(names(mine?.data ?? {}));
  const wanted = ["cpu", "memory", "pids"].flatMap((part) => names({ [part]: control?.data[part] }));
  assert.ok(wanted.length > 20);
  assert.deepEqual(
    wanted.filter((name) => !known.has(name)),
    [],
  );
  const data = mine?.data as { memory: { usage: { limit: number } }; pids: { limit: number } };
  assert.deepEqual([data.memory.usage.limit, data.pids.limit], [64 << 20, 60]);
  for (const interval of ["0", "5", "-1s", "1d"])
    assert.match(ours.run("events", "--interval", interval, "s").error, /--interval ".*": not a span of time/);
  for (const runtime of [ours, theirs]) assert.equal(runtime.run("delete", "--force", "s").code, 0);
  assert.match(ours.run("events", "s").error, /does not exist/);
});
