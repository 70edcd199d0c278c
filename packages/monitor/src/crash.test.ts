import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { BUILDS, eventually, Installation, makeMonitor, NODE, Pod } from "./testing/pod.ts";
import { data, imm, nr, Program, reg, slot } from "./testing/program.ts";
import { Client, response } from "./testing/ttrpc.ts";

makeMonitor(...BUILDS);
const FAKE = [NODE, join(import.meta.dirname, "testing/fake-server.ts")];
const timeout = 60_000;
const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

/** A pod whose task server is a process of its own. */
async function openOutside(build: (typeof BUILDS)[number], command = FAKE): Promise<Installation> {
  const at = new Installation(build, command);
  const result = await at.run(["-id", "x", "start"]);
  assert.deepEqual([result.code, result.stderr], [0, ""]);
  const pid = readFileSync("/proc/net/unix", "utf8").includes(at.socket) ? await daemonOf(at) : 0;
  at.pids.add(pid);
  return at;
}

async function daemonOf(at: Installation): Promise<number> {
  const { readdirSync } = await import("node:fs");
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (
        readFileSync(`/proc/${name}/environ`, "utf8").includes(`TRIMARAN_TEST=${at.root}\0`) &&
        readFileSync(`/proc/${name}/environ`, "utf8").includes("TRIMARAN_MONITOR=")
      )
        return Number(name);
    } catch {} // it ended
  }
  throw new Error("no daemon");
}

for (const build of BUILDS) {
  for (const how of ["", "/stop"]) {
    for (const point of ["frame", "sent", "result"]) {
      test(`${build}: RUN is done once, with the server ${how ? "stopped" : "killed"} at "${point}"`, {
        timeout,
      }, async () => {
        await using at = await openOutside(build);
        using client = await Client.open(at.socket);
        const first = await client.call("Pid");
        assert.equal(await client.call("Count", point + how), "errno 0, 1 times");
        assert.notEqual(await client.call("Pid"), first);
        assert.equal(client.frames.length, 3);
      });
    }
    for (const point of ["frame", "spawned", "gate", "execed", "exit"]) {
      test(`${build}: a task runs once, with the server ${how ? "stopped" : "killed"} at "${point}"`, {
        timeout,
      }, async () => {
        await using at = await openOutside(build);
        using client = await Client.open(at.socket);
        assert.equal(await client.call("Task", point + how), "status 17");
        assert.equal(readFileSync(join(at.root, "started"), "utf8"), "s");
        assert.ok(existsSync(join(at.root, `died-${point}`)));
      });
    }
  }

  test(`${build}: six servers die as soon as they are there, the seventh answers the starter`, {
    timeout,
  }, async () => {
    using deaths = { path: join(tmpdir(), `trm-deaths-${process.pid}`), [Symbol.dispose]: () => rmSync(deaths.path) };
    const script = `echo >> ${deaths.path}; [ $(wc -l < ${deaths.path}) -gt 6 ] || exit 1; exec "$@"`;
    await using _at = await openOutside(build, ["/bin/sh", "-c", script, "sh", ...FAKE]);
    assert.equal(readFileSync(deaths.path, "utf8").length, 7);
  });

  test(`${build}: one that was killed is replaced at once, and the open Wait is answered`, {
    timeout,
  }, async () => {
    await using at = await openOutside(build);
    using client = await Client.open(at.socket);
    assert.equal(await client.call("Sleeper", "1.5"), "ok");
    const wait = client.ask("Wait");
    assert.equal(await client.call("Note", "kept"), "");
    const first = at.serverPid() ?? 0;
    process.kill(first, "SIGKILL");
    await eventually(() => at.serverPid() !== first); // nothing was to be told, but who knows what it was about to do
    assert.equal(await client.answer(wait), "status 21");
    assert.equal(await client.call("Note", ""), "kept");
  });

  test(`${build}: an idle exit with BYE is not undone by an old exit; the next frame wakes a server`, {
    timeout,
  }, async () => {
    await using at = await openOutside(build);
    using client = await Client.open(at.socket);
    await client.call("Task", "");
    const first = at.serverPid() ?? 0;
    assert.equal(await client.call("Close"), "closing");
    await eventually(() => !existsSync(`/proc/${first}`));
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(at.serverPid(), first);
    assert.notEqual(await client.call("Pid"), `${first}`);
    assert.equal(await client.call("Task", ""), "status 17", "the exit is kept until FORGET");
  });

  test(`${build}: what a server had not read when it said BYE is told to the next, a Wait too`, async () => {
    await using pod = await Pod.open(build);
    using client = await pod.connect();
    await pod.sleep(() => {
      client.ask("Wait");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200); // the monitor has sent it, and nobody here could read it
    });
    pod.onLink = (link) => {
      link.onFrame = (conn, frame) => link.send(conn, response(Buffer.from(frame).readUInt32BE(4), "ended"));
    };
    pod.serve();
    await eventually(() => pod.links === 2); // by itself
    assert.equal(await client.answer(1), "ended");
  });

  test(`${build}: what was open is told again, in order, with its flag; what was closed is not`, async () => {
    await using pod = await Pod.open(build);
    using client = await pod.connect();
    using other = await pod.connect();
    const seen: string[] = [];
    pod.onLink = (link) => {
      link.onFrame = (conn, frame, info) => {
        const stream = Buffer.from(frame).readUInt32BE(4);
        seen.push(`${conn} ${stream} ${info.replayed ? "replayed" : "new"}`);
        if (seen.length > 3) link.send(conn, response(stream, "done"));
      };
    };
    pod.onLink(pod.link);
    client.ask("A");
    client.ask("B");
    other.ask("C");
    await eventually(() => seen.length === 3);
    other.socket.destroy();
    await pod.sleep();
    seen.splice(0, seen.length, "", "", "");
    pod.serve();
    assert.equal(await client.answer(1), "done");
    assert.equal(await client.answer(3), "done");
    assert.deepEqual(seen.slice(3), ["1 1 replayed", "1 3 replayed"]);
  });

  test(`${build}: a SYNC that nobody answered is told again`, async () => {
    await using pod = await Pod.open(build);
    const p = new Program();
    p.clone();
    p.sync(7, imm(70));
    p.exit(4);
    let syncs = 0;
    pod.link.onSync = () => void syncs++;
    pod.link.spawn("s", { program: p.encode() });
    await eventually(() => syncs === 1);
    await pod.sleep();
    pod.onLink = (link) => {
      link.onSync = (sync) => {
        assert.deepEqual([sync.key, sync.code, sync.value], ["s", 7, 70n]);
        link.syncReply("s", 0, 1n);
      };
    };
    pod.serve();
    using client = await pod.connect();
    client.ask("Wake");
    assert.equal((await pod.process("s", (r) => r.exit !== undefined)).exit?.waitStatus, 4 << 8);
  });

  test(`${build}: a watch that fires while the server is away is told to the next`, async () => {
    await using pod = await Pod.open(build);
    const p = new Program();
    p.pipe(2, 1);
    p.clone({ closeSlots: 2 });
    p.sys(nr.nanosleep, [dataOf(p, 0.3), imm(0)]);
    p.sys(nr.write, [slot(1), data(p.text("wake")), imm(4)]);
    p.exec(["/bin/sleep", "100"]);
    pod.link.spawn("w", { program: p.encode(), watches: [2] });
    await pod.process("w", (r) => r.spawned);
    await pod.sleep();
    const seen: string[] = [];
    pod.onLink = (link) => {
      link.onWatch = (_key, _slot, bytes) => void seen.push(Buffer.from(bytes).toString());
    };
    await new Promise((resolve) => setTimeout(resolve, 400));
    pod.serve();
    await eventually(() => seen.length === 2);
    assert.deepEqual(seen, ["wake", ""]);
  });

  test(`${build}: what a last slot's file has when the process ends comes with its end, and to the next server again`, async () => {
    await using pod = await Pod.open(build);
    const file = join(pod.at.root, "count");
    for (const [key, script] of [
      ["ends", "printf 2 > count"],
      ["loses", "printf 3 > count; rm count"],
      ["long", "yes | head -c 1000 > count"],
    ] as const) {
      writeFileSync(file, "1");
      const p = new Program();
      p.sys(nr.openat, [imm(-100), data(p.text(file)), imm(O_CLOEXEC), imm(0)], { dst: 0 });
      p.keep(reg(0), 5);
      p.clone();
      p.exec(["/bin/sh", "-c", `cd ${pod.at.root}; ${script}`]);
      pod.link.spawn(key, { program: p.encode(), last: 5 });
      await pod.process(key, (r) => r.exit !== undefined);
    }
    const expected = { ends: "2", loses: "3", long: "y\n".repeat(256) };
    for (const [key, { exit }] of pod.link.processes) assert.equal(exit?.lastIsStale, false, key);
    const told = () =>
      [...pod.link.processes].map(([key, { exit }]) => [key, Buffer.from(exit?.last ?? []).toString()]);
    assert.deepEqual(Object.fromEntries(told()), expected);
    pod.link.note("big", Buffer.alloc(5 << 20)); // above 4 MiB of notes
    using client = await pod.connect();
    client.ask("Wake");
    await pod.until(() => pod.links === 2);
    assert.deepEqual(Object.fromEntries(told()), expected);
  });

  test(`${build}: what a last slot's file had when a watch fired stays where it has nothing at the end`, async () => {
    await using pod = await Pod.open(build);
    const [count, bell] = [join(pod.at.root, "count"), join(pod.at.root, "bell")];
    writeFileSync(count, "1");
    execFileSync("mkfifo", [bell]);
    const p = new Program();
    p.sys(nr.openat, [imm(-100), data(p.text(count)), imm(O_CLOEXEC), imm(0)], { dst: 0 });
    p.sys(nr.openat, [imm(-100), data(p.text(bell)), imm(O_CLOEXEC | O_RDWR), imm(0)], { dst: 1 });
    p.keep(reg(0), 5);
    p.keep(reg(1), 6);
    p.clone();
    const script = "printf 2 > count; echo > bell; until [ -e heard ]; do sleep 0.01; done; : > count";
    p.exec(["/bin/sh", "-c", `cd ${pod.at.root}; ${script}`]);
    pod.link.onWatch = () => writeFileSync(join(pod.at.root, "heard"), "");
    pod.link.spawn("x", { program: p.encode(), watches: [6], last: 5 });
    const { exit } = await pod.process("x", (r) => r.exit !== undefined);
    assert.deepEqual([readFileSync(count, "utf8"), Buffer.from(exit?.last ?? []).toString()], ["", "2"]);
    assert.equal(exit?.lastIsStale, true);
  });

  test(`${build}: two last slots, or one that is watched, too, are malformed`, async () => {
    for (const watches of [[5 | 0x40, 6 | 0x40], [5, 5 | 0x40], [5 | 0xc0]]) {
      await using pod = await Pod.open(build);
      pod.link.spawn("x", { program: new Program().encode(), watches });
      using client = await pod.connect();
      client.ask("Wake");
      await pod.until(() => pod.links === 2);
      assert.equal(pod.link.processes.size, 0);
    }
  });

  test(`${build}: a malformed message from the server closes that connection, and it is made anew`, async () => {
    await using pod = await Pod.open(build);
    pod.link.note("big", Buffer.alloc(5 << 20)); // above 4 MiB of notes
    pod.link.note("after", Buffer.from("x"));
    using client = await pod.connect();
    client.ask("Wake");
    await pod.until(() => pod.links === 2);
    assert.equal(pod.link.notes.size, 0);
  });

  test(`${build}: SIGTERM ends the monitor`, async () => {
    await using pod = await Pod.open(build);
    using client = await pod.connect();
    process.kill(pod.link.pid, "SIGTERM");
    await client.until(() => client.closed);
  });
}

function dataOf(p: Program, seconds: number): ReturnType<typeof data> {
  const bytes = Buffer.alloc(16);
  bytes.writeBigInt64LE(BigInt(Math.floor(seconds * 1e9)), 8);
  return data(p.bytes(bytes));
}
