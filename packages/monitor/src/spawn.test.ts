import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ProcessReport } from "./monitor-link.ts";
import { BUILDS, eventually, makeMonitor, Pod } from "./testing/pod.ts";
import { data, imm, nr, Op, Program, reg, slot } from "./testing/program.ts";

makeMonitor(...BUILDS);

const CLONE_PARENT = 0x8000;
const O_WRONLY_CREAT_TRUNC = 0o1101;
const exited = (report: ProcessReport): boolean => report.exit !== undefined;
const code = (report: ProcessReport): number => (report.exit?.waitStatus ?? -1) >> 8;

/** sh -c, without stdio. */
function shell(script: string, options: { gate?: boolean } = {}): Uint8Array {
  const p = new Program();
  p.clone();
  if (options.gate) p.gate();
  p.exec(["/bin/sh", "-c", script]);
  return p.encode();
}

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
}

for (const build of BUILDS) {
  test(`${build}: pipe, gate, exec, output, exit: each report once, in order`, async () => {
    await using pod = await Pod.open(build);
    const out = join(pod.at.root, "out");
    const p = new Program();
    p.pipe(0, 1);
    p.open(out, O_WRONLY_CREAT_TRUNC, 2, 0o600);
    p.keep(reg(2), 2);
    p.clone({ closeSlots: 1 << 1 });
    p.dup3(slot(1), 1);
    p.gate();
    p.exec(["/bin/sh", "-c", "echo hello; exit 7"]);
    pod.link.spawn("a", { program: p.encode(), streams: [{ from: 0, to: 2 }] });
    const waiting = await pod.process("a", (r) => r.atGate);
    assert.ok(waiting.spawned && !waiting.opened && !waiting.execed && !waiting.drained);
    assert.equal(
      readFileSync(`/proc/${waiting.pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19],
      `${waiting.startTime}`,
    );
    pod.link.openGate("a");
    pod.link.openGate("a");
    const end = await pod.process("a", (r) => exited(r) && r.drained);
    assert.equal(code(end), 7);
    assert.ok(Math.abs(Number(end.exit?.exitedAtNs ?? 0n) / 1e6 - Date.now()) < 5000);
    assert.equal(readFileSync(out, "utf8"), "hello\n");
    const kinds = pod.reports.map((r) => [r.atGate, r.opened, r.execed, r.exit !== undefined].filter(Boolean).length);
    assert.deepEqual(kinds, [...kinds].sort(), "a state never goes back");
    pod.link.forget("a");
  });

  test(`${build}: the second SPAWN of a key runs nothing and tells the state`, async () => {
    await using pod = await Pod.open(build);
    pod.link.spawn("a", { program: shell("exit 3") });
    await pod.process("a", exited);
    pod.reports.length = 0;
    pod.link.spawn("a", { program: shell("exit 4") });
    await pod.until(() => pod.reports.length === 1);
    assert.equal(code(pod.reports[0] as ProcessReport), 3);
    pod.link.forget("a");
    pod.link.spawn("a", { program: shell("exit 5") });
    assert.equal(code(await pod.process("a", (r) => exited(r) && code(r) === 5)), 5);
  });

  test(`${build}: a failure names its step: before CLONE, after it, in EXEC`, async () => {
    await using pod = await Pod.open(build);
    const before = new Program();
    before.pipe(0, 1);
    const step = before.open("/no/such/file", 0, 3);
    before.clone();
    before.exec(["/bin/true"]);
    pod.link.spawn("before", { program: before.encode() });
    assert.deepEqual((await pod.process("before", (r) => r.failure !== undefined)).failure, { step, errno: 2 });

    const after = new Program();
    after.clone();
    const mkdir = after.sys(nr.mkdirat, [imm(-100), data(after.text("/proc/x")), imm(0o700)]);
    after.exec(["/bin/true"]);
    pod.link.spawn("after", { program: after.encode() });
    const failed = await pod.process("after", exited);
    assert.equal(failed.failure?.step, mkdir);
    assert.equal(code(failed), 255);
    assert.equal(failed.execed, false);

    const noexec = new Program();
    noexec.clone();
    noexec.exec(["/nope"], [], { tolerate: [2] });
    const last = noexec.exec(["/etc/passwd"]);
    pod.link.spawn("exec", { program: noexec.encode() });
    assert.deepEqual((await pod.process("exec", exited)).failure, { step: last, errno: 13 });
    assert.deepEqual(childrenOf(pod.link.pid), []);
  });

  test(`${build}: a malformed program runs not a single step`, async () => {
    await using pod = await Pod.open(build);
    const good = shell("exit 0");
    for (const [name, at, value] of [
      ["magic", 0, 0],
      ["total", 4, 1],
      ["steps", 8, 0xff],
      ["op", 32, 0x7f],
      ["relocs", 16, 9],
    ] as const) {
      const bad = Buffer.from(good);
      bad[at] = value;
      pod.link.spawn(name, { program: bad });
      assert.deepEqual(
        (await pod.process(name, (r) => r.failure !== undefined)).failure,
        { step: 0xffffffff, errno: 22 },
        name,
      );
    }
    const noClone = new Program();
    noClone.pipe(0, 1);
    pod.link.spawn("no clone", { program: noClone.encode() });
    assert.equal((await pod.process("no clone", (r) => r.failure !== undefined)).failure?.errno, 22);
  });

  test(`${build}: two CLONEs: the pid is the second's, the stage's exit is swallowed`, async () => {
    await using pod = await Pod.open(build);
    const p = new Program();
    p.clone();
    p.sys(nr.setsid, []);
    p.clone({ flags: CLONE_PARENT, stageExits: true });
    p.sys(nr.getpid, [], { dst: 1 });
    p.sync(5, reg(1));
    p.gate();
    p.exec(["/bin/sh", "-c", "exit 9"]);
    let told = 0n;
    pod.link.onSync = (sync) => {
      told = sync.value;
      pod.link.syncReply("two", 0, 0n);
    };
    pod.link.spawn("two", { program: p.encode() });
    const atGate = await pod.process("two", (r) => r.atGate);
    assert.equal(BigInt(atGate.pid), told);
    assert.ok(
      pod.reports.every((r) => !r.spawned || r.pid === atGate.pid),
      "no report has the stage's pid",
    );
    assert.deepEqual(childrenOf(pod.link.pid), [`${atGate.pid}`]);
    pod.link.openGate("two");
    assert.equal(code(await pod.process("two", exited)), 9);
    assert.deepEqual(childrenOf(pod.link.pid), []);
  });

  test(`${build}: two CLONEs, hundreds at once, each with its own status`, async () => {
    await using pod = await Pod.open(build);
    const count = 200;
    for (let i = 0; i < count; i++) {
      const p = new Program();
      p.clone();
      p.clone({ flags: CLONE_PARENT });
      p.exit(i % 200);
      pod.link.spawn(`n${i}`, { program: p.encode() });
    }
    for (let i = 0; i < count; i++) {
      const end = await pod.process(`n${i}`, exited);
      assert.deepEqual([code(end), end.failure], [i % 200, undefined]);
    }
    await eventually(() => childrenOf(pod.link.pid).length === 0);
  });

  test(`${build}: SYNC: a number back, an error back, data, an fd for a slot`, async () => {
    await using pod = await Pod.open(build);
    const out = join(pod.at.root, "out");
    const p = new Program();
    p.clone();
    p.sync(1, imm(11), { dst: 1, data: Buffer.from("hello") });
    p.sync(2, imm(0), { tolerate: [95], dst: 2 });
    p.pipe(-1, -1, 4);
    p.sync(3, imm(0), { fd: reg(4), slot: 3 });
    p.dup3(reg(5), 1);
    const text = p.bytes(Buffer.from("echo $0\0\0\0\0\0\0\0\0"));
    const status = p.bytes(8);
    p.step(Op.Store, [reg(1), imm(status), imm(11)]);
    const argv = p.bytes(40);
    for (const [i, target] of [p.text("sh"), p.text("-c"), text, status].entries()) p.reloc(argv + 8 * i, target);
    p.step(Op.Exec, [data(p.text("/bin/sh")), data(argv), data(p.strings([])), imm(-100), imm(0)]);
    const seen: unknown[] = [];
    pod.link.onSync = (s) => {
      seen.push([s.code, s.value, s.hasFd, Buffer.from(s.data).toString()]);
      pod.link.syncReply("s", s.code === 2 ? 95 : 0, s.code === 1 ? 4242n : 0n);
    };
    // the target comes by RUN, after the SPAWN: the stream begins when both slots are there
    pod.link.spawn("s", { program: p.encode(), streams: [{ from: 3, to: 4 }] });
    const open = new Program();
    open.open(out, O_WRONLY_CREAT_TRUNC, 0, 0o600);
    open.keep(reg(0), 4);
    assert.equal((await pod.link.run("s", open.encode())).errno, 0);
    await pod.process("s", (r) => exited(r) && r.drained);
    assert.deepEqual(seen, [
      [1, 11n, false, "hello"],
      [2, 0n, false, ""],
      [3, 0n, true, ""],
    ]);
    assert.equal(readFileSync(out, "utf8"), "4242\n");
  });

  test(`${build}: RUN: signals by pidfd; a process that was reaped is never signalled`, async () => {
    await using pod = await Pod.open(build);
    const kill = new Program();
    kill.sys(nr.pidfd_send_signal, [slot(15), imm(15), imm(0), imm(0)]);
    pod.link.spawn("k", { program: shell("exec sleep 100") });
    await pod.process("k", (r) => r.execed);
    assert.deepEqual(await pod.link.run("k", kill.encode()), { step: 0, errno: 0, value: 0n });
    assert.equal((await pod.process("k", exited)).exit?.waitStatus, 15);
    assert.equal((await pod.link.run("k", kill.encode())).errno, 3);
    assert.deepEqual(await pod.link.run("nobody", kill.encode()), { step: 0xffffffff, errno: 2, value: 0n });
    const clone = new Program();
    clone.clone();
    assert.equal((await pod.link.run("k", clone.encode())).errno, 22);
  });

  test(`${build}: killed at the gate: exited, never executed; signals are at their defaults`, async () => {
    await using pod = await Pod.open(build);
    pod.link.spawn("g", { program: shell("exit 0", { gate: true }) });
    const { pid } = await pod.process("g", (r) => r.atGate);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    for (const name of ["SigBlk", "SigIgn", "SigCgt"]) assert.match(status, new RegExp(`${name}:\\s0+\\n`));
    process.kill(pid, "SIGTERM");
    const end = await pod.process("g", exited);
    assert.deepEqual([end.exit?.waitStatus, end.execed, end.failure], [15, false, undefined]);
  });

  test(`${build}: the monitor's end ends those at the gate`, async () => {
    await using pod = await Pod.open(build);
    for (const key of ["a", "b", "c"]) pod.link.spawn(key, { program: shell("exit 0", { gate: true }) });
    const pids: number[] = [];
    for (const key of ["a", "b", "c"]) pids.push((await pod.process(key, (r) => r.atGate)).pid);
    process.kill(pod.link.pid, "SIGTERM");
    await eventually(() => pids.every((pid) => !readdirSync("/proc").includes(`${pid}`)));
  });

  test(`${build}: orphans are reaped silently, adopted ones are reported`, async () => {
    await using pod = await Pod.open(build);
    pod.link.spawn("parent", { program: shell("(sleep 0.3; exit 5) & echo; (sleep 0.05) & exit 0") });
    const { pid } = await pod.process("parent", exited);
    await eventually(() => childrenOf(pod.link.pid).length > 0);
    const orphan = Number(childrenOf(pod.link.pid).at(0));
    pod.link.spawn(`adopt/${orphan}`, { program: new Uint8Array() });
    pod.link.spawn(`adopt/${process.pid}`, { program: new Uint8Array() });
    assert.deepEqual((await pod.process(`adopt/${process.pid}`, () => true)).failure, { step: 0xffffffff, errno: 3 });
    const end = await pod.process(`adopt/${orphan}`, exited);
    assert.ok([0, 5].includes(code(end)));
    assert.notEqual(end.pid, pid);
    await eventually(() => childrenOf(pod.link.pid).length === 0);
  });

  test(`${build}: a watched eventfd`, async () => {
    await using pod = await Pod.open(build);
    const p = new Program();
    p.sys(nr.eventfd2, [imm(0), imm(0o2004000)], { dst: 0 });
    p.keep(reg(0), 5);
    p.clone();
    p.exec(["/bin/sleep", "100"]);
    const seen: string[] = [];
    pod.link.onWatch = (key, index, bytes) => void seen.push(`${key} ${index} ${Buffer.from(bytes).toString("hex")}`);
    pod.link.spawn("w", { program: p.encode(), watches: [5] });
    const add = new Program();
    add.sys(nr.write, [slot(5), data(add.bytes(Buffer.from([3, 0, 0, 0, 0, 0, 0, 0]))), imm(8)]);
    assert.equal((await pod.link.run("w", add.encode())).errno, 0);
    await eventually(() => seen.length === 1);
    assert.deepEqual(seen, ["w 5 0300000000000000"]);
  });

  test(`${build}: rapid exits are reported in the order of the exits`, async () => {
    await using pod = await Pod.open(build);
    const p = new Program();
    p.pipe(0, -1);
    p.keep(reg(1), 1);
    p.clone();
    p.gate();
    p.exit(0);
    const keys = Array.from({ length: 30 }, (_, i) => `x${i}`);
    for (const key of keys) pod.link.spawn(key, { program: p.encode() });
    for (const key of keys) await pod.process(key, (r) => r.atGate);
    pod.reports.length = 0;
    const order = keys.toReversed();
    for (const key of order) {
      pod.link.openGate(key);
      await pod.process(key, exited);
    }
    assert.deepEqual(
      pod.reports.filter(exited).map((r) => r.key),
      order,
    );
  });

  test(`${build}: the steps with a loop: PATH, CHECK, CWD, FIND, FIELD, CAPS, CLOSE, STORE, BRANCH`, async () => {
    await using pod = await Pod.open(build);
    const root = join(pod.at.root, "rootfs");
    execFileSync("sh", [
      "-c",
      `mkdir -p ${root}/real && ln -s /real ${root}/link && ln -s / ${root}/up && printf 'root:x:0:0::/root:/bin/sh\\nme:x:7:7::/home/me:/bin/sh' > ${root}/passwd`,
    ]);
    const p = new Program();
    p.open(root, 0o10200000, 0);
    p.clone();
    p.step(Op.Path, [reg(0), data(p.text("/link/a/b/c")), imm(1), imm(0o700), imm(0)], { dst: 1 });
    p.step(Op.Check, [reg(1), imm(1), imm(0o040000)]);
    p.step(Op.Path, [reg(0), data(p.text("up/../../../real/file")), imm(2), imm(0o600), imm(0)], { dst: 2 });
    p.step(Op.Check, [reg(2), imm(1), imm(0o100000)]);
    p.step(Op.Path, [reg(0), data(p.text("x/y/z")), imm(3), imm(0), imm(0)], { dst: 3 });
    p.step(Op.Path, [reg(0), data(p.text("new/../../etc")), imm(1), imm(0o700), imm(0)], { tolerate: [18] });
    p.step(Op.Path, [reg(0), data(p.text("link/a")), imm(0), imm(0), imm(1)], { tolerate: [40] });
    p.open("/dev/null", 0, 4);
    p.step(Op.Check, [reg(4), imm(2), imm(0x103)]);
    p.step(Op.Check, [reg(4), imm(2), imm(0x104)], { tolerate: [18] });
    p.step(Op.Check, [reg(4), imm(6), reg(0)]);
    p.open("/proc/self/ns/net", 0, 5);
    p.step(Op.Check, [reg(5), imm(5), imm(0x40000000)]);
    p.step(Op.Check, [reg(5), imm(4), imm(0x6e736673)]);
    p.open(join(root, "passwd"), 0, 6);
    const home = p.bytes(64);
    p.step(Op.Field, [reg(6), data(p.text("7")), imm(2), imm(5), imm(home), imm(64)]);
    const found = p.bytes(4096);
    p.step(Op.Find, [data(p.bytes(Buffer.from("/nope/sh\0/etc/passwd\0/etc\0/bin/sh\0\0"))), data(found)], { dst: 7 });
    p.step(Op.Branch, [reg(7), imm(0), imm(3)], { skip: 1 });
    p.exit(99);
    const fds = p.bytes(Buffer.from([3, 0, 0, 0, 4, 0, 0, 0x80]));
    p.step(Op.Caps, [data(p.bytes(Buffer.concat([Buffer.from([1, 0, 0, 0]), Buffer.alloc(36)]))), imm(1)]);
    p.step(Op.Cwd, [data(p.text(join(root, "real")))]);
    p.step(Op.Close, [data(fds), imm(2)]);
    const argv = p.bytes(48);
    const script = `cd / && test "$1" = /home/me && grep -q 'CapBnd:.0000000000000001$' /proc/self/status && exit 42`;
    for (const [i, target] of [p.text("sh"), p.text("-c"), p.text(script), p.text("x"), home].entries())
      p.reloc(argv + 8 * i, target);
    p.step(Op.Exec, [data(found), data(argv), data(p.strings([])), imm(-100), imm(0)]);
    pod.link.spawn("p", { program: p.encode() });
    const end = await pod.process("p", exited);
    assert.deepEqual([end.failure, code(end)], [undefined, 42]);
    assert.deepEqual(
      execFileSync("find", [".", "-mindepth", "1"], { cwd: root, encoding: "utf8" }).trim().split("\n").sort(),
      [
        "./link",
        "./new",
        "./passwd",
        "./real",
        "./real/a",
        "./real/a/b",
        "./real/a/b/c",
        "./real/file",
        "./up",
        "./x",
        "./x/y",
      ],
    );
  });
}

test("monitor: 10 000 spawns leave fds and memory as they were", { timeout: 120_000 }, async () => {
  await using pod = await Pod.open("monitor");
  const p = new Program();
  p.pipe(0, 1);
  p.clone({ closeSlots: 2 });
  p.exit(0);
  const program = p.encode();
  const usage = (): { fds: number; kb: number } => ({
    fds: readdirSync(`/proc/${pod.link.pid}/fd`).length,
    kb: Number(/Private_Dirty:\s+(\d+)/.exec(readFileSync(`/proc/${pod.link.pid}/smaps_rollup`, "utf8"))?.[1]),
  });
  let done = 0;
  const batch = async (count: number): Promise<void> => {
    const want = done + count;
    for (let i = done; i < want; i++) pod.link.spawn(`s${i}`, { program, streams: [{ from: 0, to: 2 }] });
    for (; done < want; done++) {
      await pod.process(`s${done}`, exited);
      pod.link.forget(`s${done}`);
      pod.reports.length = 0;
    }
  };
  for (let i = 0; i < 20; i++) await batch(50);
  await new Promise((resolve) => setTimeout(resolve, 300)); // the last FORGETs are on their way
  const before = usage();
  const startedAt = performance.now();
  for (let i = 0; i < 180; i++) await batch(50);
  console.log(
    `${((performance.now() - startedAt) / 9).toFixed(1)} us a spawn; ${JSON.stringify(before)} ${JSON.stringify(usage())}`,
  );
  await eventually(() => usage().fds === before.fds);
  assert.ok(usage().kb <= before.kb + 40, `${before.kb} kB before, ${usage().kb} kB after`);
});
