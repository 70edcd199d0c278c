// Each scenario is written once and runs in every cell: engine × client × runtime.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ANY, packAny } from "@trimaran/proto";
import type { Engine } from "../harness/containerd.ts";
import type { RuntimeName } from "../harness/driver.ts";
import { openEngineClient } from "../harness/engine-client.ts";
import { PATIENCE } from "../harness/patience.ts";
import type { Client } from "./client.ts";

/** One cell's inhabitants. */
export interface Cell {
  readonly engine: Engine;
  readonly client: Client;
  readonly runtime: RuntimeName;
}

/** Thrown where a cell can't exist: it says why. */
export class CannotBe extends Error {
  override readonly name = "CannotBe";
}

const MIB = 1 << 20;
const FOREVER = ["sh", "-c", "trap 'exit 23' TERM; echo up; while :; do sleep 0.05; done"];
const TRAPPED =
  "until grep -q 'SigCgt:.*[4-7c-f]...$' /proc/1/status 2>/dev/null || [ $((i=i+1)) -gt 20 ]; do sleep 0.05; done";
const STATE_LIMIT_MS = 30_000 * PATIENCE;

/** Do something with a container that runs; it is taken away afterwards. */
async function withContainer(
  cell: Cell,
  work: (id: string) => Promise<void>,
  command: readonly string[] = ["sleep", "100000"],
) {
  const { engine, client } = cell;
  const id = engine.newId();
  try {
    const started = await client.start(id, command);
    assert.equal(started.code, 0, started.stderr);
    await work(id);
  } finally {
    await client.remove(id);
  }
}

async function inState({ client }: Cell, id: string, state: RegExp): Promise<void> {
  for (const until = Date.now() + STATE_LIMIT_MS; ; await delay(50)) {
    const line = (await client.list()).stdout.split("\n").find((each) => each.includes(id)) ?? "absent";
    if (state.test(line)) return;
    assert.ok(Date.now() < until, `${line}: not ${state}`);
  }
}

function run({ engine, client }: Cell, wishes: Parameters<Client["run"]>[1], ...command: readonly string[]) {
  return client.run(engine.newId(), wishes, command);
}

/** By name, in the order of the grid's rows. */
export const SCENARIOS: Readonly<Record<string, (cell: Cell) => Promise<void>>> = {
  start: async (cell) => {
    const done = await run(cell, {}, "sh", "-c", "echo out; echo err >&2");
    assert.deepEqual(done, { code: 0, stdout: "out\n", stderr: "err\n" });
    await withContainer(cell, (id) => inState(cell, id, /running/i));
  },

  exec: (cell) =>
    withContainer(cell, async (id) => {
      const done = await cell.client.exec(id, {}, ["sh", "-c", "echo out; echo err >&2; exit 9"]);
      assert.deepEqual(done, { code: 9, stdout: "out\n", stderr: "err\n" });
      assert.notEqual((await cell.client.exec(id, {}, ["/nope"])).code, 0);
      assert.equal((await cell.client.exec(id, {}, ["true"])).code, 0);
    }),

  tty: async (cell) => {
    const sized = "i=0; until stty size | grep -q '^40 100$' || [ $((i=i+1)) -gt 100 ]; do sleep 0.05; done";
    const dialogue = [{ expect: /go/, send: "typed\n" }];
    const script = `${sized}; echo go; read word; echo "<$word>"; stty size; sleep 0.5; exit 5`;
    const done = await run(cell, { tty: true, dialogue }, "sh", "-c", script);
    assert.match(done.stdout, /<typed>\r\n40 100/);
    assert.equal(done.code, 5);
  },

  stdin: async (cell) => {
    const dialogue = [{ expect: /ready/, send: "one\ntwo\n" }, { expect: /two/ }];
    const done = await run(cell, { dialogue }, "sh", "-c", "echo ready; cat; exit 4");
    assert.deepEqual([done.code, done.stdout], [4, "ready\none\ntwo\n"], done.stderr);
  },

  "large output": async (cell) => {
    const fill = (byte: string) => `dd if=/dev/zero bs=64k count=160 2>/dev/null | tr '\\0' ${byte}`;
    const done = await run(cell, {}, "sh", "-c", `(${fill("e")}) >&2 & ${fill("o")}; wait`);
    assert.deepEqual([done.code, done.stdout.length, done.stderr.length], [0, 10 * MIB, 10 * MIB]);
  },

  signals: async (cell) => {
    await withContainer(
      cell,
      async (id) => {
        await cell.client.exec(id, {}, ["sh", "-c", TRAPPED]);
        const killed = await cell.client.kill(id, "TERM");
        assert.equal(killed.code, 0, killed.stderr);
        await inState(cell, id, /stopped|exited|absent/i);
      },
      FOREVER,
    );
    assert.equal((await run(cell, {}, "sh", "-c", "sh -c 'kill -15 $$'; exit $?")).code, 143);
  },

  "exit codes": async (cell) => {
    for (const code of [0, 1, 126, 137, 255])
      assert.equal((await run(cell, {}, "sh", "-c", `exit ${code}`)).code, code);
  },

  stats: (cell) =>
    withContainer(cell, async (id) => {
      const { code, stdout, stderr } = await cell.client.stats(id);
      assert.equal(code, 0, stderr);
      assert.match(stdout, /memory\S*\D+[1-9]\d*/i);
    }),

  pause: (cell) =>
    withContainer(cell, async (id) => {
      const paused = await cell.client.pause(id);
      assert.equal(paused.code, 0, paused.stderr);
      await inState(cell, id, /paused/i);
      assert.equal((await cell.client.resume(id)).code, 0);
      await inState(cell, id, /running/i);
    }),

  update: (cell) =>
    withContainer(cell, async (id) => {
      await using client = await openEngineClient(cell.engine); // no command line has a verb for it
      const resources = packAny(ANY.ociLinuxResources, Buffer.from(JSON.stringify({ cpu: { shares: 512 } })));
      await client.services.tasks.update({ containerId: id, resources });
      if (cell.runtime !== "kata") assert.equal(await cgroupFile(cell, id, "cpu", "cpu.shares"), "512");
    }),

  "out of memory": async (cell) => {
    const eat = ["dd", "if=/dev/zero", "of=/dev/null", "bs=256M", "count=1"];
    assert.equal((await run(cell, { memoryBytes: 64 * MIB }, ...eat)).code, 137);
  },

  limits: async (cell) => {
    const { engine, client, runtime } = cell;
    const id = engine.newId();
    const dialogue = [{ expect: /up/, send: "\n" }];
    const script = "grep -c ^processor /proc/cpuinfo; sleep 1; echo up; read x";
    const running = client.run(id, { cpus: 1.5, memoryBytes: 128 * MIB, dialogue }, ["sh", "-c", script]);
    let quota = "";
    const watch = async () => {
      for (const until = Date.now() + STATE_LIMIT_MS; quota !== "150000" && Date.now() < until; await delay(20))
        quota = await cgroupFile(cell, id, "cpu", "cpu.cfs_quota_us").catch(() => quota);
    };
    const [done] = await Promise.all([running, runtime === "kata" ? undefined : watch()]);
    if (runtime === "kata") assert.ok(Number.parseInt(done.stdout, 10) >= 2, "the machine has grown by its processors");
    else assert.equal(quota, "150000");
  },

  mounts: async (cell) => {
    const source = join(cell.engine.dir, "tmp", `volume-${cell.engine.newId()}`);
    await mkdir(source);
    await writeFile(join(source, "in"), "outside\n");
    const mounts = [
      { source, target: "/rw", access: "rw" },
      { source, target: "/ro", access: "ro" },
    ] as const;
    const done = await run(cell, { mounts }, "sh", "-c", "cat /ro/in; echo inside > /rw/out; touch /ro/x");
    assert.equal(done.stdout, "outside\n", done.stderr);
    assert.match(done.stderr, /Read-only file system/);
    assert.equal(await readFile(join(source, "out"), "utf8"), "inside\n");
  },

  users: (cell) =>
    withContainer(cell, async (id) => {
      const done = await cell.client.exec(id, { user: "1000:2000" }, ["sh", "-c", "id -u; id -g; touch /root/x"]);
      assert.equal(done.stdout, "1000\n2000\n", done.stderr);
      if (cell.runtime !== "gvisor") assert.match(done.stderr, /Permission denied/); // runsc lets it keep what capabilities its spec names
    }),

  "read-only": async (cell) => {
    const done = await run(cell, { readOnly: true }, "sh", "-c", "touch /x; touch /dev/shm/x && echo shm");
    assert.equal(done.stdout, "shm\n");
    assert.match(done.stderr, /\/x: Read-only file system/);
  },

  "engine restarted": (cell) =>
    withContainer(cell, async (id) => {
      await cell.engine.restart();
      await inState(cell, id, /running/i);
      assert.equal((await cell.client.exec(id, {}, ["sh", "-c", "exit 6"])).code, 6);
    }),

  "task server restarted": (cell) =>
    withContainer(cell, async (id) => {
      const servers = await cell.engine.taskServerPids();
      if (cell.runtime === "control") throw new CannotBe("upstream has no task server");
      for (const pid of servers) if (existsSync(`/proc/${pid}`)) process.kill(pid, "SIGKILL");
      assert.equal((await cell.client.exec(id, {}, ["sh", "-c", "exit 6"])).code, 6);
      await inState(cell, id, /running/i);
    }),

  "delete while running": async (cell) => {
    const id = cell.engine.newId();
    assert.equal((await cell.client.start(id, FOREVER)).code, 0);
    const removed = await cell.client.remove(id);
    assert.equal(removed.code, 0, removed.stderr);
    await inState(cell, id, /absent/);
  },

  "50 at once": async (cell) => {
    const all = Array.from({ length: 50 }, (_, n) => run(cell, {}, "sh", "-c", `echo ${n}; sleep 0.5; exit ${n}`));
    // ctr closes its FIFOs as soon as it hears of the exit: with upstream's shim some output is lost when the machine is busy
    const seen = (code: number, stdout: string) => (cell.runtime === "control" ? [code] : [code, stdout]);
    assert.deepEqual(
      (await Promise.all(all)).map(({ code, stdout }) => seen(code, stdout)),
      all.map((_, n) => seen(n, `${n}\n`)),
    );
  },
};

/** cgroup v1 and hybrid; where v2 is alone the grid would have to look elsewhere. */
async function cgroupFile({ engine }: Cell, id: string, controller: string, file: string): Promise<string> {
  if (existsSync("/sys/fs/cgroup/cgroup.controllers"))
    throw new CannotBe("the grid reads limits where cgroup v1 has them");
  return (await readFile(join("/sys/fs/cgroup", controller, engine.namespace, id, file), "utf8")).trim();
}
