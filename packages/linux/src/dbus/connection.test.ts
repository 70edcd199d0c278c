import assert from "node:assert/strict";
import { test } from "node:test";
import { BusConnection } from "./connection.ts";
import { MESSAGE } from "./message.ts";
import { FakeBus, failure, reply } from "./testing/fake-bus.ts";

const CALL = { path: "/o", interface: "a.I", member: "Get" };

function open(bus: FakeBus, signal: AbortSignal = AbortSignal.timeout(5_000)): Promise<BusConnection> {
  return BusConnection.open(bus.path, { uid: 1000, signal });
}

test("we say who we are; a call gets its answer, whatever comes in between", async () => {
  await using bus = await FakeBus.open();
  bus.answer = (call) => {
    const signal = { kind: MESSAGE.signal, path: "/o", interface: "a.I", member: "Changed", signature: "u", body: [4] };
    return call.member === "Get"
      ? [signal, reply({ ...call, serial: 99 }), reply(call, "su", "yes", 5)]
      : [failure(call, "a.Error", "no")];
  };
  using connection = await open(bus);
  const heard: unknown[] = [];
  connection.onSignal = ({ member, body }) => heard.push(member, ...body);
  assert.equal(bus.authentication, `\0AUTH EXTERNAL ${Buffer.from("1000").toString("hex")}\r\n`);
  assert.deepEqual(await connection.call({ ...CALL, destination: "d.D", signature: "s", body: ["x"] }), ["yes", 5]);
  assert.deepEqual(heard, ["Changed", 4]);
  assert.deepEqual([bus.calls[0]?.destination, bus.calls[0]?.body], ["d.D", ["x"]]);
  await assert.rejects(connection.call({ ...CALL, member: "Set" }), {
    name: "DBusError",
    code: "a.Error",
    message: "no",
  });
});

test("an answer that is larger than what one read gives", async () => {
  await using bus = await FakeBus.open();
  using connection = await open(bus);
  bus.answer = (call) => [reply(call, "s", "x".repeat(100_000))];
  const [text] = await connection.call(CALL);
  assert.equal(text, "x".repeat(100_000));
});

test("a peer that does not let us in", async () => {
  await using bus = await FakeBus.open();
  bus.welcome = "REJECTED KERBEROS_V4";
  await assert.rejects(open(bus), /we are not let in: "REJECTED KERBEROS_V4"/);
});

test("a peer that talks for ever before it lets us in", async () => {
  await using bus = await FakeBus.open();
  bus.welcome = "OK".padEnd(100_000, "x");
  await assert.rejects(open(bus), /this is not D-Bus|not let in/);
});

test("no answer in time", async () => {
  await using bus = await FakeBus.open();
  bus.answer = () => [];
  using connection = await open(bus, AbortSignal.timeout(50));
  await assert.rejects(connection.call(CALL), { name: "DBusError", message: "no answer in time" });
  await assert.rejects(connection.call(CALL), { message: "no answer in time" });
});

test("bytes that are no message end the connection, and what waits for it", async () => {
  await using bus = await FakeBus.open();
  using connection = await open(bus);
  bus.answer = () => [Buffer.alloc(64, 0xff)];
  await assert.rejects(connection.call(CALL), { name: "DBusError", message: "this is not D-Bus" });
});

test("a peer that is not there, or goes away", async () => {
  const bus = await FakeBus.open();
  using connection = await open(bus);
  bus.answer = () => [];
  const call = connection.call(CALL);
  const refused = assert.rejects(call, /the connection was closed|ECONNRESET/);
  await bus[Symbol.asyncDispose]();
  await refused;
  await assert.rejects(open(bus), { code: "ENOENT" });
});
