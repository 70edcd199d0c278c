import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import type { ProcessReport } from "./monitor-link.ts";
import { BUILDS, eventually, makeMonitor, Pod } from "./testing/pod.ts";
import { data, imm, nr, Op, Program, reg, slot } from "./testing/program.ts";
import { response } from "./testing/ttrpc.ts";

makeMonitor(...BUILDS);

const run = promisify(execFile);
const O_RDWR_NONBLOCK = 0o4002;
const exited = (report: ProcessReport): boolean => report.exit !== undefined;

function fifo(pod: Pod, name: string): string {
  const path = join(pod.at.root, name);
  execFileSync("mkfifo", [path]);
  return path;
}

/** Bytes that go into an empty pipe that nobody reads. */
function fill(fd: number): number {
  const page = Buffer.alloc(4096);
  for (let bytes = 0; ; )
    try {
      bytes += writeSync(fd, page);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "EAGAIN") return bytes;
      throw error;
    }
}

/** stdout of `script` by a pipe (slot 0) to `target` (slot 2), opened with `flags`. */
function piped(script: string, target: string, flags: number): Uint8Array {
  const p = new Program();
  p.pipe(0, 1);
  p.open(target, flags, 2, 0o600);
  p.keep(reg(2), 2);
  p.clone({ closeSlots: 1 << 1 });
  p.dup3(slot(1), 1);
  p.sys(nr.close, [slot(0)]);
  p.exec(["/bin/sh", "-c", script]);
  return p.encode();
}

/** stdout and stderr of `script` by pipes (slots 0 and 4) to FIFOs (slots 2 and 6), both ends of which are held, as for a client. */
function outputs(script: string, [out, err]: readonly [string, string]): Uint8Array {
  const p = new Program();
  p.pipe(0, 1, 0);
  p.open(out, O_RDWR_NONBLOCK, 2);
  p.keep(reg(2), 2);
  p.pipe(4, 5, 4);
  p.open(err, O_RDWR_NONBLOCK, 6);
  p.keep(reg(6), 6);
  p.clone({ closeSlots: (1 << 1) | (1 << 5) });
  p.dup3(slot(1), 1);
  p.dup3(slot(5), 2);
  p.exec(["/bin/sh", "-c", script]);
  return p.encode();
}
const OUTPUTS = [
  { from: 0, to: 2 },
  { from: 4, to: 6 },
];
/** So long is an end held back at most: `HELD_MS` of ends.c. */
const HELD_MS = 250;

/** What a read gives: its bytes, "" at the end, undefined where there is nothing yet. */
function readNow(fd: number): string | undefined {
  const buffer = Buffer.alloc(100);
  try {
    return buffer.toString("utf8", 0, readSync(fd, buffer));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return undefined;
    throw error;
  }
}

for (const build of BUILDS) {
  test(`${build}: 100 MB through a FIFO, and through a file, byte for byte`, { timeout: 60_000 }, async () => {
    await using pod = await Pod.open(build);
    const path = fifo(pod, "out");
    const script = "seq 1 12000000 | head -c 100000000";
    const sum = run("sh", ["-c", `sha256sum < ${path}`]);
    const want = execFileSync("sh", ["-c", `${script} | sha256sum`], { encoding: "utf8" });
    pod.link.spawn("a", { program: piped(script, path, O_RDWR_NONBLOCK), streams: [{ from: 0, to: 2 }] });
    await pod.process("a", (r) => exited(r) && r.drained);
    assert.equal((await sum).stdout, want);
    const file = join(pod.at.root, "file");
    pod.link.spawn("b", {
      program: piped(script, file, constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND),
      streams: [{ from: 0, to: 2 }],
    });
    await pod.process("b", (r) => exited(r) && r.drained);
    assert.equal(execFileSync("sh", ["-c", `sha256sum < ${file}`], { encoding: "utf8" }), want);
  });

  test(`${build}: the pipes of a stream that fills them get wider, those of one that doesn't stay`, async () => {
    await using pod = await Pod.open(build);
    const sizeAfter = async (name: string, script: string, bytes: number): Promise<number> => {
      const path = fifo(pod, name);
      const fd = openSync(path, O_RDWR_NONBLOCK);
      const read = run("sh", ["-c", `head -c ${bytes} < ${path} > /dev/null`]);
      pod.link.spawn(name, { program: piped(script, path, O_RDWR_NONBLOCK), streams: [{ from: 0, to: 2 }] });
      await pod.process(name, (r) => exited(r) && r.drained);
      await read;
      const size = fill(fd);
      closeSync(fd);
      return size;
    };
    const blocks = `dd if=/dev/zero bs=64k count=1000 2>/dev/null`;
    assert.equal(await sizeAfter("much", blocks, 1000 * 64 * 1024), 256 * 1024);
    const lines = "for i in 1 2 3 4 5 6 7 8 9 10; do echo line; done";
    assert.equal(await sizeAfter("little", lines, 50), 64 * 1024);
  });

  test(`${build}: MOVED counts what the streams of a slot have copied, also after their end`, async () => {
    await using pod = await Pod.open(build);
    const moved = (index: number): Uint8Array => {
      const p = new Program();
      p.step(Op.Moved, [imm(index)], { dst: 0 });
      return p.encode();
    };
    const file = join(pod.at.root, "counted");
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND;
    pod.link.spawn("c", { program: piped("head -c 300001 /dev/zero", file, flags), streams: [{ from: 0, to: 2 }] });
    await pod.process("c", (r) => exited(r) && r.drained);
    assert.equal((await pod.link.run("c", moved(0))).value, 300_001n);
    assert.equal((await pod.link.run("c", moved(2))).errno, 9, "no stream begins there: EBADF");
    const fd = openSync(fifo(pod, "spliced"), O_RDWR_NONBLOCK);
    pod.link.spawn("d", {
      program: piped("printf 12345", join(pod.at.root, "spliced"), flags),
      streams: [{ from: 0, to: 2 }],
    });
    await pod.process("d", (r) => exited(r) && r.drained);
    assert.equal((await pod.link.run("d", moved(0))).value, 5n);
    closeSync(fd);
  });

  test(`${build}: stdin ends after CloseIO and the last writer; what was written before arrives`, async () => {
    await using pod = await Pod.open(build);
    const input = fifo(pod, "in");
    const out = join(pod.at.root, "out");
    const p = new Program();
    p.open(input, constants.O_RDONLY | constants.O_NONBLOCK, 0);
    p.keep(reg(0), 0);
    p.open(input, constants.O_WRONLY | constants.O_NONBLOCK, 1); // held until CloseIO
    p.keep(reg(1), 1);
    p.pipe(2, 3, 2);
    p.pipe(4, 5, 4);
    p.open(out, constants.O_WRONLY | constants.O_CREAT, 6, 0o600);
    p.keep(reg(6), 6);
    p.clone({ closeSlots: (1 << 2) | (1 << 5) });
    p.dup3(slot(2), 0);
    p.dup3(slot(5), 1);
    p.exec(["/bin/cat"]);
    pod.link.spawn("cat", {
      program: p.encode(),
      streams: [
        { from: 0, to: 3, uncounted: true },
        { from: 4, to: 6 },
      ],
    });
    await pod.process("cat", (r) => r.execed);
    for (const word of ["one ", "two "]) execFileSync("sh", ["-c", `printf '${word}' > ${input}`]);
    const writer = openSync(input, "w");
    const drop = new Program();
    drop.drop(1);
    assert.equal((await pod.link.run("cat", drop.encode())).errno, 0);
    writeSync(writer, "three");
    assert.equal(pod.link.processes.get("cat")?.exit, undefined);
    closeSync(writer);
    assert.equal((await pod.process("cat", (r) => exited(r) && r.drained)).exit?.waitStatus, 0);
    assert.equal(readFileSync(out, "utf8"), "one two three");
  });

  test(`${build}: a reader that goes away is EPIPE; with both ends held nobody notices`, async () => {
    await using pod = await Pod.open(build);
    const path = fifo(pod, "out");
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    pod.link.spawn("pipe", {
      program: piped(
        "exec 2>/dev/null; trap '' PIPE; for i in 1 2 3 4 5 6 7 8; do sleep 0.05; echo x || exit 33; done",
        path,
        constants.O_WRONLY | constants.O_NONBLOCK,
      ),
      streams: [{ from: 0, to: 2 }],
    });
    await pod.process("pipe", (r) => r.execed);
    closeSync(reader);
    const end = await pod.process("pipe", (r) => exited(r) && r.drained);
    assert.equal((end.exit?.waitStatus ?? 0) >> 8, 33);
    const held = fifo(pod, "held");
    pod.link.spawn("held", {
      program: piped("echo hello", held, O_RDWR_NONBLOCK),
      streams: [{ from: 0, to: 2, keepTarget: true }],
    });
    await pod.process("held", (r) => exited(r) && r.drained);
    const late = openSync(held, constants.O_RDONLY | constants.O_NONBLOCK);
    const buffer = Buffer.alloc(100);
    assert.equal(buffer.toString("utf8", 0, readSync(late, buffer)), "hello\n");
    pod.link.forget("held");
    await eventually(() => {
      try {
        return readSync(late, buffer) === 0; // the slots are closed: end of file
      } catch {
        return false; // EAGAIN: not yet
      }
    });
    closeSync(late);
  });

  test(`${build}: a stalled reader stops its stream only; DROP of the source forces the end of file`, async () => {
    await using pod = await Pod.open(build);
    const path = fifo(pod, "out");
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    pod.link.spawn("flood", {
      program: piped("yes | head -c 3000000; exec sleep 1000", path, O_RDWR_NONBLOCK),
      streams: [{ from: 0, to: 2 }],
    });
    pod.link.spawn("other", {
      program: piped("echo fine", join(pod.at.root, "other"), 0o101),
      streams: [{ from: 0, to: 2 }],
    });
    await pod.process("other", (r) => exited(r) && r.drained);
    const ticks = (): number =>
      readFileSync(`/proc/${pod.link.pid}/stat`, "utf8")
        .split(") ")[1]
        ?.split(" ")
        .slice(11, 13)
        .reduce((a, b) => a + Number(b), 0) ?? 0;
    const before = ticks();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(ticks() - before <= 2, "no busy loop while it is stalled");
    const buffer = Buffer.alloc(1 << 16);
    let total = 0;
    while (total < 3_000_000) {
      try {
        total += readSync(reader, buffer);
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }
    assert.equal(total, 3_000_000);
    const drop = new Program();
    drop.drop(0);
    await pod.link.run("flood", drop.encode());
    await pod.process("flood", (r) => r.drained);
    assert.equal(readSync(reader, buffer), 0);
    closeSync(reader);
    process.kill(pod.link.processes.get("flood")?.pid ?? 0, "SIGKILL");
  });

  test(`${build}: frames are not delayed by a flood of output`, async () => {
    await using pod = await Pod.open(build);
    const path = fifo(pod, "out");
    const drain = spawn("sh", ["-c", `cat ${path} > /dev/null`]);
    pod.link.onFrame = (conn, frame) => pod.link.send(conn, response(Buffer.from(frame).readUInt32BE(4), "ok"));
    using client = await pod.connect();
    pod.link.spawn("flood", {
      program: piped("exec cat /dev/zero", path, O_RDWR_NONBLOCK),
      streams: [{ from: 0, to: 2 }],
    });
    await pod.process("flood", (r) => r.execed);
    const times: number[] = [];
    for (let i = 0; i < 100; i++) {
      const at = performance.now();
      await client.call("State");
      times.push(performance.now() - at);
    }
    times.sort((a, b) => a - b);
    assert.ok((times[95] ?? 1e9) < 100, `95th percentile ${times[95]} ms`);
    process.kill(pod.link.processes.get("flood")?.pid ?? 0, "SIGKILL");
    await pod.process("flood", (r) => exited(r) && r.drained);
    drain.kill("SIGKILL");
  });

  test(`${build}: a terminal: the master comes by SYNC, both directions, EIO is the end`, async () => {
    await using pod = await Pod.open(build);
    const out = fifo(pod, "out");
    const input = fifo(pod, "in");
    const p = new Program();
    p.open(input, O_RDWR_NONBLOCK, 0);
    p.keep(reg(0), 0);
    p.open(out, O_RDWR_NONBLOCK, 1);
    p.keep(reg(1), 1);
    p.clone();
    p.open("/dev/ptmx", constants.O_RDWR | constants.O_NOCTTY, 2);
    p.sys(nr.ioctl, [reg(2), imm(0x40045431), data(p.bytes(8))]); // TIOCSPTLCK
    p.sys(nr.ioctl, [reg(2), imm(0x5441), imm(constants.O_RDWR | constants.O_NOCTTY)], { dst: 3 }); // TIOCGPTPEER
    p.sys(nr.setsid, []);
    for (const fd of [0, 1, 2]) p.dup3(reg(3), fd);
    p.sys(nr.ioctl, [imm(0), imm(0x540e), imm(0)]); // TIOCSCTTY
    p.sync(9, imm(0), { fd: reg(2), slot: 3 });
    p.exec(["/bin/sh", "-c", "tty -s && stty -echo && read line && echo got $line; seq 1 20000"]);
    pod.link.onSync = (s) => pod.link.syncReply(s.key, 0, 0n);
    const copy = run("sh", ["-c", `exec sha256sum < ${out}`]);
    const expect = execFileSync("sh", ["-c", "(echo got hi; seq 1 20000) | sed 's/$/\\r/' | sha256sum"], {
      encoding: "utf8",
    });
    pod.link.spawn("t", {
      program: p.encode(),
      streams: [
        { from: 3, to: 1 },
        { from: 0, to: 3, keepTarget: true, uncounted: true },
      ],
    });
    await pod.process("t", (r) => r.execed);
    await new Promise((resolve) => setTimeout(resolve, 200)); // until echo is off
    execFileSync("sh", ["-c", `echo hi > ${input}`]);
    const end = await pod.process("t", (r) => exited(r) && r.drained);
    assert.equal(end.exit?.waitStatus, 0);
    assert.equal((await copy).stdout, expect);
  });

  test(`${build}: a background child keeps the output open: exited, not drained`, async () => {
    await using pod = await Pod.open(build);
    const out = join(pod.at.root, "out");
    pod.link.spawn("bg", {
      program: piped("(sleep 0.4; echo late) & echo early", out, 0o101),
      streams: [{ from: 0, to: 2 }],
    });
    const end = await pod.process("bg", exited);
    assert.equal(end.drained, false);
    await pod.process("bg", (r) => r.drained);
    assert.equal(statSync(out).size, "early\nlate\n".length);
  });

  for (const [name, redirect] of Object.entries({ stdout: "", stderr: ">&2" }))
    test(`${build}: while ${name} is unread, the other output does not end: a client may take one's end for both's`, async () => {
      await using pod = await Pod.open(build);
      const paths = [fifo(pod, "out"), fifo(pod, "err")] as const;
      const fds = paths.map((path) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
      const [written = -1, quiet = -1] = name === "stdout" ? fds : fds.toReversed();
      for (let tries = 1; ; tries++) {
        const key = `try-${tries}`;
        const at = performance.now();
        pod.link.spawn(key, { program: outputs(`echo line ${redirect}`, paths), streams: OUTPUTS });
        await pod.process(key, (r) => exited(r) && r.drained);
        const seen = readNow(quiet);
        const tookMs = performance.now() - at;
        assert.equal(readNow(written), "line\n");
        await eventually(() => readNow(quiet) === "" && readNow(written) === "");
        if (seen === undefined) break;
        assert.ok(tookMs > HELD_MS && tries < 20, `ended after ${tookMs} ms, before the line was read`);
      }
      for (const fd of fds) closeSync(fd);
    });

  test(`${build}: an output that nobody reads holds the other's end back for a moment only, one that is read not at all`, async () => {
    await using pod = await Pod.open(build);
    const paths = [fifo(pod, "out"), fifo(pod, "err")] as const;
    const [out = -1, err = -1] = paths.map((path) => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
    pod.link.spawn("unread", { program: outputs("echo line", paths), streams: OUTPUTS });
    await pod.process("unread", (r) => exited(r) && r.drained);
    await eventually(() => readNow(err) === "");
    assert.equal(readNow(out), "line\n");
    await eventually(() => readNow(out) === "");
    pod.link.spawn("early", { program: outputs("exec 2>&-; exec sleep 1000", paths), streams: OUTPUTS });
    await pod.process("early", (r) => r.execed);
    await eventually(() => readNow(err) === "");
    assert.equal(readNow(out), undefined, "it lives");
    process.kill(pod.link.processes.get("early")?.pid ?? 0, "SIGKILL");
    await eventually(() => readNow(out) === "");
    for (const fd of [out, err]) closeSync(fd);
  });
}
