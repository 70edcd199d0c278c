import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { ProcessReport } from "./monitor-link.ts";
import { PortLink } from "./port-link.ts";
import { BUILDS, type Build, makeMonitor, OUT, Pod } from "./testing/pod.ts";
import { data, imm, nr, Program, reg, slot } from "./testing/program.ts";

makeMonitor(...BUILDS);

const HOST = Buffer.from("\0trimaran-host\x01\0\xff", "latin1");
const AGENT = Buffer.from("\0trimaran-agnt\x01\0\xff", "latin1");
const SOURCE = 6;
const EAGAIN = 11;

/** sh -c with its stdout as a told slot. */
function shell(script: string): Uint8Array {
  const p = new Program();
  p.pipe(SOURCE, 1);
  p.clone({ closeSlots: 1 << 1 });
  p.dup3(slot(1), 1);
  p.exec(["/bin/sh", "-c", script]);
  return p.encode();
}

/** Says "x" into a told pipe, of which the monitor keeps the writer. */
function sayX(): Uint8Array {
  const p = new Program();
  p.sys(nr.write, [slot(1), data(p.text("x")), imm(1)]);
  return p.encode();
}

/** A monitor whose port is a socket of ours, for several conversations. */
class Port implements AsyncDisposable {
  readonly reports = new Map<string, ProcessReport>();
  readonly outputs: { key: string; offset: number; text: string }[] = [];
  readonly broken: string[] = [];
  link!: PortLink;
  readonly #process: ChildProcess;
  readonly #socket: Duplex;
  #changed = Promise.withResolvers<void>();

  constructor(build: Build) {
    const env = {
      TRIMARAN_MONITOR: "guest",
      TRIMARAN_PORT: "1",
      TRIMARAN_SHIM: "port",
      ASAN_OPTIONS: "detect_leaks=0",
    };
    this.#process = spawn(join(OUT, build), [], { env, stdio: ["ignore", "inherit", "inherit", "pipe"] });
    const socket = this.#process.stdio[3];
    assert.ok(socket instanceof Duplex);
    this.#socket = socket;
  }

  /** Greet, and talk from the answer on; what an earlier conversation has left is dropped. */
  async greet(before: Uint8Array = Buffer.alloc(0), cut = 0): Promise<void> {
    const nonce = randomBytes(16);
    const greeting = Buffer.concat([before, HOST, nonce]);
    const answer = Buffer.concat([AGENT, nonce]);
    const through = new Duplex({ read() {}, write: (chunk, _encoding, done) => void this.#socket.write(chunk, done) });
    let kept = Buffer.alloc(0);
    this.#socket.removeAllListeners("data");
    const answered = new Promise<void>((resolve) => {
      this.#socket.on("data", (chunk: Buffer) => {
        kept = Buffer.concat([kept, chunk]);
        const at = kept.indexOf(answer);
        if (at < 0) return;
        through.push(kept.subarray(at + answer.length));
        this.#socket.removeAllListeners("data");
        this.#socket.on("data", (more: Buffer) => void through.push(more));
        resolve();
      });
    });
    this.#socket.write(greeting.subarray(0, cut));
    if (cut > 0) await delay(20); // so that it comes in two reads
    this.#socket.write(greeting.subarray(cut));
    await answered;
    const ready = Promise.withResolvers<void>();
    const wake = (): void => {
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    this.link = new PortLink(through, {
      ready: ready.resolve,
      process: (report) => {
        this.reports.set(report.key, report);
        wake();
      },
      output: (key, _slot, offset, data) => {
        this.outputs.push({ key, offset: Number(offset), text: Buffer.from(data).toString() });
        wake();
      },
      broken: (why) => void this.broken.push(why),
    });
    await ready.promise;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await this.#changed.promise;
  }

  /** Past the link. */
  writeRaw(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.kill();
    await ended;
  }
}

const PORT_ENV = ["TRIMARAN_MONITOR=guest", "TRIMARAN_PORT=1", "TRIMARAN_SHIM=port", "ASAN_OPTIONS=detect_leaks=0"];
const [AF_UNIX, SOCK_SEQPACKET_NONBLOCK, LISTEN_FD] = [1, 5 | 0o4000 | 0o2000000, 3];
const [OURS, THEIRS] = [16, 17];

/** A monitor whose port is one end of a socket of packets; the other end is the slot OURS. An empty packet is read as a port without a host is. */
function packetPort(build: Build): Uint8Array {
  const p = new Program();
  const pair = p.bytes(8);
  p.sys(nr.socketpair, [imm(AF_UNIX), imm(SOCK_SEQPACKET_NONBLOCK), imm(0), data(pair)]);
  for (const [at, index] of [
    [0, OURS],
    [4, THEIRS],
  ] as const) {
    p.load(pair + at, 4, 0);
    p.keep(reg(0), index);
  }
  p.clone({ closeSlots: 1 << THEIRS });
  p.dup3(slot(THEIRS), LISTEN_FD);
  p.exec([join(OUT, build)], PORT_ENV);
  return p.encode();
}

/** Send packets, which are all there before the first of them is read. */
function packets(...sent: readonly Uint8Array[]): Uint8Array {
  const p = new Program();
  for (const packet of sent)
    p.sys(nr.sendto, [
      slot(OURS),
      data(p.bytes(Buffer.concat([packet, Buffer.alloc(1)]))),
      imm(packet.length),
      imm(0),
      imm(0),
      imm(0),
    ]);
  return p.encode();
}

for (const build of BUILDS) {
  test(`${build}: a greeting that comes before the news that there is a host is answered`, {
    timeout: 10_000,
  }, async () => {
    await using pod = await Pod.open(build);
    pod.link.spawn("port", { program: packetPort(build) });
    const { pid } = await pod.process("port", (report) => report.execed);
    using _ending = { [Symbol.dispose]: () => void process.kill(pid, "SIGKILL") };
    const answer = new Program();
    answer.sys(nr.read, [slot(OURS), data(answer.bytes(4096)), imm(4096)], { dst: 0 });
    const greeting = Buffer.concat([HOST, randomBytes(16)]);
    assert.equal((await pod.link.run("port", packets(greeting, new Uint8Array()))).errno, 0);
    for (let look = 0; look < 400; look++) {
      const { errno, value } = await pod.link.run("port", answer.encode());
      if (errno === 0 && value > BigInt(AGENT.length)) return;
      assert.equal(errno, EAGAIN);
      await delay(5);
    }
    assert.fail("no answer");
  });

  test(`${build}: over a port, output is told by offset, kept until it is taken, and told again to whoever greets next`, async () => {
    await using port = new Port(build);
    await port.greet();
    port.link.spawn("a", shell("printf one; read x < /dev/zero & sleep 0.1; printf two; kill $!; exit 3"), [SOURCE]);
    await port.until(() => port.outputs.length > 0);
    assert.deepEqual(port.outputs, [{ key: "a", offset: 0, text: "one" }]);
    await port.greet(Buffer.from("left of an earlier conversation"));
    await port.until(() => port.outputs.length > 1);
    assert.deepEqual(port.outputs[1], port.outputs[0]);
    port.link.taken("a", SOURCE, 3n);
    await port.until(() => port.outputs.length > 2);
    assert.deepEqual(port.outputs[2], { key: "a", offset: 3, text: "two" });
    port.link.taken("a", SOURCE, 6n);
    await port.until(() => port.outputs.length > 3 && port.reports.get("a")?.exit !== undefined);
    assert.deepEqual(port.outputs[3], { key: "a", offset: 6, text: "" });
    assert.equal((port.reports.get("a")?.exit?.waitStatus ?? 0) >> 8, 3);
    port.link.spawn("a", shell("printf again"), [SOURCE]); // a key that is known: told, not run
    await port.until(() => port.outputs.length > 4);
    assert.deepEqual(port.outputs[4], { key: "a", offset: 6, text: "" });
  });

  test(`${build}: a greeting cut anywhere ends the conversation before it; an exit is told again until it is forgotten`, async () => {
    await using port = new Port(build);
    await port.greet();
    port.link.spawn("a", shell("exit 7"), []);
    await port.until(() => port.reports.get("a")?.exit !== undefined);
    for (const cut of [1, 16, 17, 20, 32]) {
      port.reports.clear();
      await port.greet(undefined, cut);
      assert.equal((port.reports.get("a")?.exit?.waitStatus ?? 0) >> 8, 7, `cut at ${cut}`);
    }
    port.link.forget("a");
    port.reports.clear();
    await port.greet(Buffer.alloc(100_000, 1));
    assert.equal(port.reports.size, 0);
  });

  test(`${build}: a gate opens once, whoever asks again; a run that has a name is done once, in all conversations`, async () => {
    await using port = new Port(build);
    await port.greet();
    const p = new Program();
    p.pipe(SOURCE, 1);
    p.clone();
    p.gate();
    p.exec(["/bin/sh", "-c", "exit 4"]);
    port.link.spawn("a", p.encode(), [SOURCE]);
    await port.until(() => port.reports.get("a")?.atGate === true);
    for (let i = 0; i < 2; i++) {
      assert.equal((await port.link.run("a", sayX(), { conn: 5, stream: 7 })).errno, 0);
      port.link.openGate("a");
      await port.until(() => port.reports.get("a")?.exit !== undefined);
      await port.greet();
    }
    assert.equal((port.reports.get("a")?.exit?.waitStatus ?? 0) >> 8, 4);
    port.link.taken("a", SOURCE, 1n);
    for (const stream of [8, 8, 9]) await port.link.run("a", sayX(), { conn: 5, stream });
    await port.link.run("a", sayX());
    await port.until(() => port.outputs.some(({ offset, text }) => offset + text.length >= 2));
    for (let at = 2; at < 4; at++) {
      port.link.taken("a", SOURCE, BigInt(at));
      await port.until(() => port.outputs.some(({ offset, text }) => offset + text.length > at));
    }
    await delay(50);
    assert.equal(Math.max(...port.outputs.map(({ offset, text }) => offset + text.length)), 4);
  });

  test(`${build}: who breaks the protocol has to greet again, and nothing is lost by it`, async () => {
    await using port = new Port(build);
    await port.greet();
    port.link.spawn("a", shell("sleep 0.05; printf x; exit 1"), [SOURCE]);
    port.writeRaw(Buffer.from([0, 0, 0, 0, 99, 0, 0, 0]));
    await delay(300);
    assert.equal(port.outputs.length, 0);
    await port.greet();
    await port.until(() => port.outputs.length > 0);
    port.link.taken("a", SOURCE, 1n);
    await port.until(() => port.outputs.length > 1 && port.reports.get("a")?.exit !== undefined);
    assert.deepEqual(
      port.outputs.map(({ text }) => text),
      ["x", ""],
    );
    assert.equal((port.reports.get("a")?.exit?.waitStatus ?? 0) >> 8, 1);
    assert.deepEqual(port.broken, []);
  });
}
