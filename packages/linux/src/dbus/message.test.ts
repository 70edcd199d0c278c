import assert from "node:assert/strict";
import { test } from "node:test";
import { DBusError } from "./dbus-error.ts";
import { decodeMessage, encodeMessage, MESSAGE, messageLength } from "./message.ts";
import { splitSignature } from "./signature.ts";
import { type DBusValue, variant } from "./value.ts";

const CALL = { kind: MESSAGE.call, serial: 7, path: "/a", member: "M" };

/** One of each type, and what aligns them. */
const SIGNATURE = "ybnqiuxtdsogvaya(sv)a{su}(yx)aat";
const BODY: readonly DBusValue[] = [
  ...[255, true, -3, 65535, -70000, 4000000000, -5n, 2n ** 64n - 1n, 0.5, "grüß", "/x/y", "a(sv)"],
  variant("ai", [1, -2]),
  Uint8Array.of(1, 2, 3),
  [
    ["Slice", variant("s", "a.slice")],
    ["Delegate", variant("b", true)],
  ],
  [["k", 1]],
  [1, -1n],
  [[], [1n]],
];

test("what is written is read again, of every type and alignment", () => {
  const bytes = encodeMessage({ ...CALL, interface: "i.I", destination: "d.D", signature: SIGNATURE, body: BODY });
  assert.equal(messageLength(bytes), bytes.length);
  const { kind, serial, path, member, destination, body } = decodeMessage(bytes);
  assert.deepEqual([kind, serial, path, member, destination], [1, 7, "/a", "M", "d.D"]);
  assert.deepEqual(body, BODY);
});

test("bytes as libdbus writes them", () => {
  // dbus-send's Hello, as it came out of a socket
  const hello =
    `6c01000100000000010000006e00000001016f00150000002f6f72672f667265656465736b746f702f4442757300000006017300140000006f72672e667265656465736b746f702e4442757300000000020173001400
00006f72672e667265656465736b746f702e44427573000000000301730005000000 48656c6c6f000000`.replace(/\s/g, "");
  const bytes = Buffer.from(hello, "hex");
  const bus = "org.freedesktop.DBus";
  const message = decodeMessage(bytes);
  assert.deepEqual(
    [message.kind, message.serial, message.path, message.destination, message.interface, message.member],
    [1, 1, "/org/freedesktop/DBus", bus, bus, "Hello"],
  );
  const ours = encodeMessage({
    kind: 1,
    serial: 1,
    path: "/org/freedesktop/DBus",
    interface: bus,
    member: "Hello",
    destination: bus,
    body: [],
  });
  assert.equal(ours.length, bytes.length); // its fields come in another order
});

test("big endian is read, too", () => {
  const bytes = Buffer.from("42020001000000080000000300000008050175000000000a0000", "hex"); // cut off on purpose
  assert.equal(messageLength(bytes), 16 + 8 + 8);
  const whole = Buffer.from(`4202000100000004000000030000000f0501750000000009080167000175000000000102`, "hex");
  assert.deepEqual(decodeMessage(whole), { kind: 2, serial: 3, replySerial: 9, signature: "u", body: [258] });
});

test("a value that its type does not fit is a TypeError", () => {
  const encode = (signature: string, value: DBusValue) => () => encodeMessage({ ...CALL, signature, body: [value] });
  for (const [signature, value] of [
    ["u", "1"],
    ["t", 1],
    ["s", "a\0b"],
    ["b", 1],
    ["a(su)", [["a"]]],
    ["v", 1],
    ["ay", "abc"],
  ] as const)
    assert.throws(encode(signature, value), TypeError, signature);
  assert.throws(encode("y", 256), RangeError);
  assert.throws(encode("t", -1n), RangeError);
  assert.throws(() => encodeMessage({ ...CALL, signature: "ss", body: ["a"] }), TypeError);
  assert.throws(encode("ay", new Uint8Array(2 << 20)), /more than 1 MiB/);
});

test("signatures: what is none", () => {
  assert.deepEqual(splitSignature("ssa(sv)a(sa(sv))"), ["s", "s", "a(sv)", "a(sa(sv))"]);
  const deep = (letter: string, count: number) => `${letter.repeat(count)}y`;
  assert.equal(splitSignature(deep("a", 32)).length, 1);
  for (const bad of [
    "a",
    "(",
    "()",
    "(s",
    "s)",
    "{sv}",
    "a{vs}",
    "a{s}",
    "a{sss}",
    "z",
    deep("a", 33),
    `${"(".repeat(33)}y${")".repeat(33)}`,
    "y".repeat(256),
  ])
    assert.throws(() => splitSignature(bad), DBusError, bad);
});

test("every way to cut a message short, and every byte changed: DBusError or a message, never anything else", () => {
  const bytes = encodeMessage({ ...CALL, signature: SIGNATURE, body: BODY });
  for (let length = 0; length < bytes.length; length++)
    assert.throws(() => decodeMessage(bytes.subarray(0, length)), DBusError, String(length));
  for (let at = 0; at < bytes.length; at++) {
    for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
      const changed = Buffer.from(bytes);
      changed[at] = value;
      try {
        messageLength(changed);
        decodeMessage(changed);
      } catch (error) {
        assert.ok(error instanceof DBusError, `byte ${at}: ${String(error)}`);
      }
    }
  }
});

test("hostile lengths are refused before anything is allocated", () => {
  const huge = encodeMessage({ ...CALL, body: [] });
  huge.writeUInt32LE(0xffff_ffff, 4);
  assert.throws(() => messageLength(huge), /a message of \d+ bytes/);
  const array = encodeMessage({ ...CALL, signature: "au", body: [[1]] });
  array.writeUInt32LE(0x7fff_fff0, array.length - 8);
  assert.throws(() => decodeMessage(array), /cut short/);
  let nested: DBusValue = variant("y", 1);
  for (let depth = 0; depth < 20; depth++) nested = variant("v", nested);
  assert.throws(() => decodeMessage(encodeMessage({ ...CALL, signature: "v", body: [nested] })), /nested too deeply/);
});
