/** A machine's first container, which the guest's monitor makes: what its agent has to be told of, and when. Needs `npm run build`. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { KataTemplates } from "../../../e2e/harness/kata-templates.ts";
import { ShimYard, type StartedShim } from "../../../e2e/harness/shims.ts";
import {
  type Client,
  ensureBuiltImage,
  execWith,
  killTaskServers,
  MACHINES,
  openClient,
  serverLog,
  startWith,
} from "./session.ts";

const LIMITS = {
  memory: { limit: 50_000_000 },
  pids: { limit: 77 },
  cpu: { shares: 512, quota: 50_000, period: 100_000 },
};

describe("kata, a machine's first container", { timeout: 600_000 }, () => {
  let yard: ShimYard;
  const templates = new KataTemplates();
  after(() => templates[Symbol.dispose]());
  before(ensureBuiltImage);
  beforeEach(async () => {
    yard = await ShimYard.open(MACHINES);
    templates.serve(yard.trimaranState);
  });
  afterEach(async (context) => {
    if (!("passed" in context && context.passed === true)) console.error(await serverLog(yard));
    await yard[Symbol.asyncDispose]();
  });

  async function finish(started: StartedShim): Promise<number> {
    const { exitStatus } = await started.shim.task.wait({ id: started.id });
    await started.shim.remove();
    return exitStatus;
  }

  test("its cgroup has the limits, its devices are the usual ones, its streams stay apart", async () => {
    const files = "memory.max pids.max cpu.weight cpu.max".split(" ").map((file) => `/sys/fs/cgroup/${file}`);
    const script = `cat ${files.join(" ")}; cat /proc/self/cgroup; ls /dev; mknod /k c 1 11; cat /k >/dev/null; echo $? >&2; exit 3`;
    const started = await yard.start(["sh", "-c", script]);
    changeSpec(started, (spec) => {
      spec.linux.resources = { ...spec.linux.resources, ...LIMITS };
      spec.mounts.push({ type: "cgroup", source: "cgroup", destination: "/sys/fs/cgroup", options: ["ro"] });
      spec.linux.namespaces.push({ type: "cgroup" });
    });
    const client = await openClient(yard);
    await startWith(started, client);
    assert.equal(await finish(started), 3);
    const [memory, pids, weight, cpu, cgroup, ...devices] = (await client.stdout).toString().trim().split("\n");
    assert.deepEqual([memory, pids, weight, cpu, cgroup], ["49999872", "77", "59", "50000 100000", "0::/"]);
    for (const name of ["core", "fd", "full", "null", "ptmx", "tty", "zero"]) assert.ok(devices.includes(name), name);
    assert.match((await client.stderr).toString(), /not permitted[\s\S]*1\n$/);
  });

  test("what can't be made names its field, and what can't be run is an error of Start", async () => {
    const wrong = await yard.start(["true"]);
    changeSpec(wrong, (spec) => {
      spec.linux.resources = { ...spec.linux.resources, unified: { "memory.high": "much" } };
    });
    await assert.rejects(wrong.create(), /linux\.resources\.unified\["memory\.high"\] much: .*EINVAL/);
    await wrong.shim.task.shutdown({ id: wrong.id }).catch(() => undefined);
    await wrong.shim.close();
    const none = await yard.start(["/nope"]);
    await assert.rejects(
      none.create().then(() => none.shim.task.start({ id: none.id })),
      /\/nope/,
    );
    none.shim.abandon();
  });

  test("input: its end alone; in pieces, through restarts of the task server; with its end after the agent knows it", async () => {
    const ended = await yard.start(["sh", "-c", "cat; echo end"]);
    const nothing = await openClient(yard, { stdin: true });
    await startWith(ended, nothing);
    await endInput(ended, nothing);
    assert.equal(await finish(ended), 0);
    assert.equal((await nothing.stdout).toString(), "end\n");

    const long = await yard.start(["sha256sum"]);
    const client = await openClient(yard, { stdin: true });
    await startWith(long, client);
    const pieces = [randomBytes(100), randomBytes(300_000), randomBytes(70_000)];
    for (const piece of pieces) {
      client.stdin?.write(piece);
      await delay(2000);
      await killTaskServers(yard);
    }
    await endInput(long, client);
    assert.equal(await finish(long), 0);
    const sum = createHash("sha256").update(Buffer.concat(pieces)).digest("hex");
    assert.equal((await client.stdout).toString(), `${sum}  -\n`);

    const known = await yard.start(["sh", "-c", "read line; cat; echo $line"]);
    const later = await openClient(yard, { stdin: true });
    await startWith(known, later);
    await known.shim.task.stats({ id: known.id });
    later.stdin?.write("last\n");
    await endInput(known, later);
    assert.equal(await finish(known), 0);
    assert.equal((await later.stdout).toString(), "last\n");
  });

  test("output and a signal, once, through restarts of the task server; an OOM kill of init and of a child is told", async () => {
    const trap = "trap 'echo hup; echo >> /seen' HUP; trap 'exit 23' TERM";
    const script = `${trap}; echo >> /seen; while :; do sleep 0.1; done`;
    const started = await yard.start(["sh", "-c", script]);
    const client = await openClient(yard);
    await startWith(started, client);
    const { id } = started;
    const { task } = started.shim;
    for (let seen = 1; seen <= 4; seen++) {
      await untilSeen(id, seen);
      if (seen === 4) break;
      const killing = task.kill({ id, signal: 1 });
      await killTaskServers(yard);
      await killing;
    }
    await execWith(started, "tty", ["true"], await openClient(yard, { terminal: true }), true);
    assert.equal((await task.wait({ id, execId: "tty" })).exitStatus, 0);
    await task.kill({ id, signal: 15 });
    assert.equal(await finish(started), 23);
    assert.equal((await client.stdout).toString(), "hup\n".repeat(3));

    for (const [hog, status] of [
      ["tail /dev/zero; exit 0", 0],
      ["exec tail /dev/zero", 137],
    ] as const) {
      const before = ooms();
      const greedy = await yard.start(["sh", "-c", hog]);
      changeSpec(greedy, (spec) => {
        spec.linux.resources = { ...spec.linux.resources, memory: { limit: 20_000_000 } };
      });
      await greedy.create();
      await greedy.shim.task.start({ id: greedy.id });
      const { exitStatus } = await greedy.shim.task.wait({ id: greedy.id });
      assert.equal(exitStatus, status);
      assert.ok(ooms() > before, `${hog}: no event`);
      await greedy.shim.remove();
    }
  });

  test("its machine's end, and a SIGKILL of all at its gate", async () => {
    const started = await yard.start(["sleep", "1000"]);
    await started.create();
    await started.shim.task.kill({ id: started.id, signal: 9, all: true });
    assert.equal(await finish(started), 137);
    const lost = await yard.start(["sleep", "1000"]);
    const { pid } = await lost.create();
    await lost.shim.task.start({ id: lost.id });
    process.kill(pid, "SIGKILL");
    assert.equal(await finish(lost), 255);
  });

  /** Until the container has written so many lines into /seen. */
  async function untilSeen(id: string, lines: number): Promise<void> {
    const path = join(yard.containerd.dir, "snapshots", id, "fs/seen");
    while (!existsSync(path) || readFileSync(path).length < lines) await delay(20);
  }

  function ooms(): number {
    return yard.containerd.events.filter(({ topic }) => topic === "/tasks/oom").length;
  }
});

/** As a client does: the shim keeps a writer of its own until it is told. */
async function endInput({ shim, id }: StartedShim, { stdin }: Client): Promise<void> {
  await new Promise<void>((resolve) => stdin?.end(resolve));
  await shim.task.closeIO({ id, stdin: true });
}

interface TestSpec {
  readonly mounts: object[];
  readonly linux: { resources: Readonly<Record<string, unknown>>; readonly namespaces: { readonly type: string }[] };
}

function changeSpec({ bundle }: StartedShim, change: (spec: TestSpec) => void): void {
  const path = join(bundle.path, "config.json");
  const spec = JSON.parse(readFileSync(path, "utf8"));
  change(spec);
  writeFileSync(path, JSON.stringify(spec));
}
