import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Logger } from "@trimaran/shim-core";
import { LyingAgent } from "../testing/lying-agent.ts";
import { GuestMonitor } from "./guest-monitor.ts";

// packages/monitor/PROTOCOL.md, section 3
const HELLO = 3;
const PROC = 5;
const READY = 6;
const FRAME = 8;
const SPAWN = 11;
const GATE = 14;
const OUTPUT = 23;
const TAKEN = 24;
const EXITED = 1 | 8 | 32;
const SLOT = 6;

function message(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(8);
  head.writeUInt32LE(Buffer.concat(parts).length, 0);
  head.writeUInt16LE(type, 4);
  return Buffer.concat([head, ...parts]);
}

function number(value: number, bytes: number): Buffer {
  const field = Buffer.alloc(bytes);
  field.writeUIntLE(value, 0, Math.min(bytes, 6));
  return field;
}

const text = (value: string) => Buffer.concat([number(value.length, 2), Buffer.from(value)]);
const hello = () => Buffer.concat([message(HELLO, number(1, 4), number(7, 4), text("execs")), message(READY)]);
const output = (offset: number, data: string) =>
  message(OUTPUT, text("a"), number(SLOT, 1), number(offset, 8), number(data.length, 4), Buffer.from(data));
const exited = (status: number) =>
  message(
    PROC,
    text("a"),
    number(EXITED, 2),
    number(7, 4),
    number(0, 4),
    number(0, 4),
    number(status << 8, 4),
    Buffer.alloc(16),
  );

/** A guest's monitor that says what `say` says, and a connection to it. `types`: of the messages that it got, in all its conversations. */
async function open(say: (socket: Socket, conversation: number) => void, runLimitMs?: number) {
  const folder = mkdtempSync(join(tmpdir(), "trm-execs-"));
  const types: number[] = [];
  let conversations = 0;
  const raw = (socket: Socket): void => {
    socket.on("data", (chunk: Buffer) => {
      for (let at = 0; at < chunk.length; at += 8 + chunk.readUInt32LE(at)) types.push(chunk.readUInt16LE(at + 4));
    });
    say(socket, ++conversations);
  };
  const agent = await LyingAgent.open(join(folder, "a.sock"), {}, { raw });
  const lies: string[] = [];
  const silences: number[] = [];
  const monitor = new GuestMonitor({
    path: agent.path,
    log: new Logger(() => undefined),
    onLie: (why) => void lies.push(why),
    onSilent: () => void silences.push(performance.now()),
    ...(runLimitMs !== undefined && { runLimitMs }),
  });
  const dispose = async (): Promise<void> => {
    monitor.close("the test is over");
    await agent[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  };
  return { agent, monitor, lies, silences, types, [Symbol.asyncDispose]: dispose };
}

const hasExit = ({ exit }: { exit?: unknown }) => exit !== undefined;

test("a program that gets no result is given up in time, and its guest is looked into: on a connection, and where none comes up", async () => {
  for (const isUp of [true, false]) {
    await using guest = await open((socket) => void (isUp && socket.write(hello())), 50);
    const entry = guest.monitor.launch("a", new Uint8Array(1), []);
    await assert.rejects(entry.run(new Uint8Array(1)), { message: "the guest does not answer" });
    assert.equal(guest.silences.length, 1);
  }
});

test("a lost connection is made again, and the same is asked for again", async () => {
  await using guest = await open((socket, conversation) => {
    socket.write(hello());
    if (conversation < 3) socket.end();
    else socket.write(Buffer.concat([output(0, "one"), exited(4)]));
  });
  const entry = guest.monitor.launch("a", new Uint8Array(8), [SLOT]);
  const { exit } = await entry.reported(hasExit);
  assert.equal((exit?.waitStatus ?? 0) >> 8, 4);
  assert.equal(Buffer.from((await entry.piece(SLOT)).data).toString(), "one");
  assert.ok(guest.types.filter((type) => type === SPAWN).length >= 1);
  assert.deepEqual(guest.lies, []);
});

test("a gate that was asked for is asked for again on the next connection", async () => {
  const opened = Promise.withResolvers<void>();
  await using guest = await open((socket, conversation) => {
    socket.write(hello());
    socket.on("data", (chunk: Buffer) => {
      if (!chunk.includes(message(GATE, text("a")))) return;
      if (conversation === 1) socket.end();
      else opened.resolve();
    });
  });
  guest.monitor.launch("a", new Uint8Array(8), []).openGate();
  await opened.promise;
  assert.ok(guest.types.filter((type) => type === GATE).length >= 2);
  assert.deepEqual(guest.lies, []);
});

test("pieces come one by one; one that comes again, before it was taken or after, counts once", async () => {
  const heard = Promise.withResolvers<void>();
  await using guest = await open((socket) => {
    socket.write(Buffer.concat([hello(), output(0, "one"), output(0, "one")]));
    socket.on("data", (chunk: Buffer) => {
      if (chunk.includes(message(TAKEN, text("a"), number(SLOT, 1), number(3, 8)))) heard.resolve();
    });
    void heard.promise.then(() => socket.write(Buffer.concat([output(0, "one"), output(3, "two"), output(6, "")])));
  });
  const entry = guest.monitor.launch("a", new Uint8Array(8), [SLOT]);
  const first = await entry.piece(SLOT);
  assert.equal(entry.reached(SLOT), undefined);
  entry.taken(SLOT, first);
  const second = await entry.piece(SLOT);
  assert.deepEqual([second.offset, Buffer.from(second.data).toString()], [3, "two"]);
  entry.taken(SLOT, second);
  assert.equal((await entry.piece(SLOT)).data.length, 0);
  assert.equal(entry.reached(SLOT), 6);
  assert.deepEqual(guest.lies, []);
});

const LIES: Readonly<Record<string, { readonly says: Buffer; readonly why: RegExp }>> = {
  "more output than was asked for": { says: Buffer.concat([output(0, "one"), output(3, "two")]), why: /output at 3/ },
  "a piece that is too long": { says: output(0, "x".repeat(70_000)), why: /70000 bytes of output/ },
  "a message of a pod's monitor": { says: message(FRAME, Buffer.alloc(14)), why: /message type 8/ },
  "a message without an end": { says: Buffer.from([255, 255, 255, 127, 23, 0, 0, 0]), why: /bytes: at most/ },
  "another version": { says: message(HELLO, number(9, 4), number(7, 4), text("")), why: /version 9/ },
};
for (const [name, { says, why }] of Object.entries(LIES))
  test(`a lie: ${name}: what waits fails with it, and who ends the guest is told`, async () => {
    await using guest = await open((socket) => {
      socket.write(hello());
      socket.once("data", () => socket.once("data", () => undefined).write(says));
    });
    const entry = guest.monitor.launch("a", new Uint8Array(8), [SLOT]);
    await assert.rejects(entry.reported(hasExit), { message: why });
    assert.match(guest.lies[0] ?? "", why);
    assert.equal(guest.lies.length, 1);
  });
