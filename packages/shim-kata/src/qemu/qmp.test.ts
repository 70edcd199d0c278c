import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { Qmp } from "./qmp.ts";

const GREETING = '{"QMP": {"version": {"qemu": {"major": 7}}, "capabilities": ["oob"]}}\n';
type Answer = (command: { execute: string; id: number }, socket: Socket) => void | Promise<void>;

/** A QEMU that answers as `answer` does; the capabilities are negotiated for it. */
async function fakeQemu(answer: Answer, greeting = GREETING): Promise<AsyncDisposable & { readonly path: string }> {
  const directory = mkdtempSync(join(tmpdir(), "kata-qmp-"));
  const path = join(directory, "q");
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    socket.write(greeting);
    socket.setEncoding("utf8").on("data", (text: string) => {
      for (const line of text.split("\n").filter((each) => each !== "")) {
        const command = JSON.parse(line) as { execute: string; id: number };
        if (command.execute === "qmp_capabilities") socket.write(`{"return": {}, "id": ${command.id}}\r\n`);
        else void answer(command, socket);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true });
    },
  };
}
const signal = AbortSignal.timeout(20_000);

test("answers find their commands, whatever their order, and events their listeners", async () => {
  const held: number[] = [];
  await using qemu = await fakeQemu(({ execute, id }, socket) => {
    if (execute === "first") held.push(id);
    else {
      socket.write('{"event": "RESUME", "timestamp": {}}\r\n{"ret');
      socket.write(`urn": 2, "id": ${id}}\r\n{"return": 1, "id": ${held[0]}}\r\n`);
    }
  });
  using qmp = await Qmp.open(qemu.path, signal);
  const resumed = qmp.nextEvent(({ name }) => name === "RESUME", signal);
  assert.deepEqual(await Promise.all([qmp.execute("first"), qmp.execute("second")]), [1, 2]);
  assert.deepEqual(await resumed, { name: "RESUME", data: {} });
});

test("messages that are cut anywhere are the same messages", async () => {
  const text = '{"event": "STOP", "data": {"é": "\\n"}}\r\n';
  await using qemu = await fakeQemu(async ({ id }, socket) => {
    for (const byte of Buffer.from(`${text}{"return": {"a": 1}, "id": ${id}}\r\n`)) {
      socket.write(Uint8Array.of(byte));
      await new Promise(setImmediate);
    }
  });
  using qmp = await Qmp.open(qemu.path, signal);
  const stopped = qmp.nextEvent(() => true, signal);
  assert.deepEqual(await qmp.execute("x"), { a: 1 });
  assert.deepEqual(await stopped, { name: "STOP", data: { é: "\n" } });
});

test("a refusal is a QmpError that names the command", async () => {
  await using qemu = await fakeQemu(({ id }, socket) => {
    socket.write(`{"error": {"class": "GenericError", "desc": "no such device"}, "id": ${id}}\n`);
  });
  using qmp = await Qmp.open(qemu.path, signal);
  await assert.rejects(qmp.execute("device_del"), { name: "QmpError", message: "qmp device_del: no such device" });
});

test("no answer in time is Unavailable; one that comes later hits nobody", async () => {
  let late = () => {};
  await using qemu = await fakeQemu(({ execute, id }, socket) => {
    if (execute === "slow") late = () => socket.write(`{"return": "slow", "id": ${id}}\n`);
    else {
      late();
      socket.write(`{"return": "quick", "id": ${id}}\n`);
    }
  });
  using qmp = await Qmp.open(qemu.path, signal);
  const refused = { code: Code.Unavailable, message: "qmp: slow: no answer in 20 ms" };
  await assert.rejects(qmp.execute("slow", {}, 20), refused);
  assert.equal(await qmp.execute("quick"), "quick");
});

for (const [what, bytes, message] of [
  ["a message without an end", "x".repeat(1024 * 1024 + 1), /longer than 1 MiB/],
  ["what is no JSON", "hello\n", /no JSON object/],
  ["a list", "[1]\n", /no JSON object/],
] as const) {
  test(`${what} ends the connection, and what waits on it`, async () => {
    await using qemu = await fakeQemu((_, socket) => void socket.write(bytes));
    using qmp = await Qmp.open(qemu.path, signal);
    const event = assert.rejects(
      qmp.nextEvent(() => true, signal),
      { code: Code.Unavailable, message },
    );
    await assert.rejects(qmp.execute("query-status"), { code: Code.Unavailable, message });
    await event;
    await assert.rejects(qmp.execute("query-status"), { code: Code.Unavailable, message });
  });
}

test("answers to nobody and events of odd shapes are harmless", async () => {
  await using qemu = await fakeQemu(({ id }, socket) => {
    socket.write(`{"return": 1, "id": 999}\n{"return": 1}\n{"event": "X", "data": [1]}\n{"return": 7, "id": ${id}}\n`);
  });
  using qmp = await Qmp.open(qemu.path, signal);
  assert.equal(await qmp.execute("x"), 7);
});

test("a socket that nobody listens on, or that says nothing, is left when the signal says so", async () => {
  const reason = new Error("given up");
  const controller = new AbortController();
  const opening = assert.rejects(Qmp.open("/none/q.sock", controller.signal), reason);
  controller.abort(reason);
  await opening;
  await using silent = await fakeQemu(() => {}, "");
  const second = new AbortController();
  const waiting = assert.rejects(Qmp.open(silent.path, second.signal), reason);
  setImmediate(() => second.abort(reason));
  await waiting;
});
