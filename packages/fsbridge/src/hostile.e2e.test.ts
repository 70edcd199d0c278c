/** A guest that does what no kernel does: its connection ends with a reason, the file daemon with it, and nothing else happens. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { BUILDS, standStill } from "./testing/halves.ts";
import { initRequest, OPCODE, RawGuest, readRequest, request } from "./testing/raw-guest.ts";

const ENOENT = 2;
const ENOSYS = 38;
const BAD_GUEST = 2;
const MESSAGE_MAX = (1 << 20) + 4096;

/** Resident memory in MiB. */
function residentMib(pid: number): number {
  return Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

for (const build of BUILDS) {
  for (const [name, bytes, reason] of [
    ["a request shorter than its header", request(1, 2, 1n, Buffer.alloc(0), 39), "shorter than its header"],
    ["a request of no bytes", Buffer.alloc(40), "shorter than its header"],
    ["a request longer than any", request(1, 2, 1n, Buffer.alloc(0), MESSAGE_MAX + 1), "longer than"],
    ["a request of 4 GiB", Buffer.alloc(400, 0xff), "longer than"],
    [
      "a request that is as long as its answer may be",
      Buffer.concat([
        request(OPCODE.READ, 2, 1n, Buffer.alloc(0), MESSAGE_MAX),
        readRequest(2, 1n, 1n, 1 << 20).subarray(40),
      ]),
      "a long request wants a long answer",
    ],
  ] as const)
    test(`${build}: ${name}`, async () => {
      await using guest = await RawGuest.open(build);
      guest.send(initRequest(2));
      await guest.answer();
      guest.send(bytes);
      const { code, signal, stderr } = await guest.host.ended;
      assert.deepEqual({ code, signal }, { code: BAD_GUEST, signal: null }, stderr);
      assert.match(stderr, new RegExp(`^trimaran-fsbridge: guest: [^\n]*${reason}[^\n]*\n$`));
      await guest.daemon.ended;
    });

  test(`${build}: what the daemon refuses is an answer, and the connection lives on`, async () => {
    await using guest = await RawGuest.open(build);
    guest.send(request(OPCODE.LOOKUP, 2, 1n, Buffer.from("early\0"))); // before INIT
    assert.notEqual((await guest.answer()).error, 0);
    guest.send(initRequest(4));
    assert.equal((await guest.answer()).error, 0);
    guest.send(request(9999, 6, 1n, Buffer.alloc(10))); // no such opcode
    assert.equal((await guest.answer()).error, -ENOSYS);
    guest.send(request(OPCODE.READ, 8, 77n, Buffer.alloc(3))); // too short to be one
    assert.notEqual((await guest.answer()).error, 0);
    guest.send(request(OPCODE.LOOKUP, 10, 1n, Buffer.from("none\0")));
    assert.equal((await guest.answer()).error, -ENOENT);
    guest.send(request(OPCODE.LOOKUP, 12, 1n, Buffer.from("../../../etc/passwd\0")));
    assert.notEqual((await guest.answer()).error, 0);
  });

  test(`${build}: a request byte by byte`, async () => {
    await using guest = await RawGuest.open(build);
    guest.socket.setNoDelay();
    for (const byte of initRequest(2)) {
      guest.send(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    assert.deepEqual({ ...(await guest.answer()), body: undefined }, { error: 0, unique: 2n, body: undefined });
  });

  test(`${build}: FORGET has no answer, INTERRUPT is not supported, DESTROY begins anew`, async () => {
    await using guest = await RawGuest.open(build);
    guest.send(initRequest(2));
    await guest.answer();
    guest.send(request(OPCODE.FORGET, 4, 1n, Buffer.alloc(8)), request(OPCODE.INTERRUPT, 7, 0n, Buffer.alloc(8)));
    assert.deepEqual(await guest.answer(), { error: -ENOSYS, unique: 7n, body: Buffer.alloc(0) });
    guest.send(request(OPCODE.DESTROY, 8, 0n, Buffer.alloc(0)));
    assert.equal((await guest.answer()).unique, 8n);
    guest.send(initRequest(10));
    assert.deepEqual({ ...(await guest.answer()), body: undefined }, { error: 0, unique: 10n, body: undefined });
  });

  test(`${build}: a guest that asks and does not listen, and a daemon that stands still, take bounded memory`, async () => {
    await using guest = await RawGuest.open(build);
    writeFileSync(join(guest.shared, "file"), Buffer.alloc(1 << 20, "x"));
    const { nodeid, handle } = await guest.openFile("file");
    const before = residentMib(guest.host.pid);
    const count = 300;
    const daemon = await standStill(guest.daemon);
    for (let i = 0; i < count; i++) guest.send(readRequest(100 + 2 * i, nodeid, handle, 1 << 20));
    while (residentMib(guest.host.pid) === before) await setTimeout(1); // it has begun to read
    assert.ok(residentMib(guest.host.pid) - before < 24);
    for (const pid of daemon) process.kill(pid, "SIGCONT");
    const answered = new Set<bigint>();
    while (answered.size < count) {
      const { error, unique, body } = await guest.answer();
      assert.deepEqual([error, body.length, body[0], body.at(-1)], [0, 1 << 20, 0x78, 0x78]);
      assert.ok(!answered.has(unique));
      answered.add(unique);
    }
    assert.ok(residentMib(guest.host.pid) - before < 24);
  });
}
