import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import protobuf from "protobufjs";
import { loadProtos, messagesOf } from "../generator/load.ts";
import {
  containerd,
  criu,
  google,
  grpc,
  io,
  MessageCodec,
  runtime,
  runtimeoptions,
  toBigInt,
  trimaran,
  ttrpc,
  WireError,
} from "./index.ts";

// protobufjs's reflection, on the same .proto files, is the oracle: it shares no code with ours but the parser.
const root = loadProtos(join(import.meta.dirname, "../../../proto"));
const trees: Readonly<Record<string, unknown>> = {
  ...{ containerd, criu, google, grpc, io },
  ...{ runtime, runtimeoptions, trimaran, ttrpc },
};

type Value = string | number | bigint | boolean | object | undefined;

function codecOf(type: protobuf.Type): MessageCodec<Record<string, Value>> {
  let at: unknown = trees;
  for (const part of type.fullName.slice(1).split(".")) at = (at as Record<string, unknown>)[part];
  assert.ok(at instanceof MessageCodec, type.fullName);
  return at;
}

const text = fc.string({ unit: "binary", maxLength: 60 });
const u64 = fc.oneof(
  fc.bigInt(0n, 2n ** 64n - 1n),
  fc.constantFrom(0n, 127n, 128n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n),
);
const i64 = fc.oneof(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.constantFrom(-1n, -62135596800n, -(2n ** 63n)));
const SCALARS: Readonly<Record<string, fc.Arbitrary<Value>>> = {
  string: text,
  bytes: fc.uint8Array({ maxLength: 300 }),
  bool: fc.boolean(),
  uint32: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  int32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  double: fc.double().map((value) => (Object.is(value, -0) ? 0 : value)),
  uint64: u64,
  int64: i64,
};

function fieldArbitrary(field: protobuf.Field): fc.Arbitrary<Value> {
  const { resolvedType } = field;
  const one =
    resolvedType instanceof protobuf.Type
      ? messageArbitrary(resolvedType)
      : SCALARS[resolvedType instanceof protobuf.Enum ? "int32" : field.type];
  assert.ok(one, field.fullName);
  if (field.map) return fc.dictionary(text, one, { maxKeys: 4, noNullPrototype: true });
  return field.repeated ? fc.array(one, { maxLength: 4 }) : one;
}

function messageArbitrary(type: protobuf.Type): fc.Arbitrary<Record<string, Value>> {
  const fields = type.fieldsArray.map((field) => [field.name, fieldArbitrary(field)] as const);
  return fc.record(Object.fromEntries(fields), { requiredKeys: [], noNullPrototype: true });
}

/** Numbers of 64 bits as text, bytes as hex, what is absent left out: a form that both sides can be brought to. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value ?? undefined;
  const entries = Object.entries(value).map(([key, item]) => [key, plain(item)] as const);
  return Object.fromEntries(entries.filter(([, item]) => item !== undefined));
}

for (const type of messagesOf(root)) {
  test(`${type.fullName.slice(1)} is what protobufjs makes of it`, () => {
    const codec = codecOf(type);
    const runs = { numRuns: 40 };
    fc.assert(
      fc.property(messageArbitrary(type), (message) => {
        const bytes = codec.encode(message);
        const theirs = type.toObject(type.decode(bytes), {
          longs: String,
          defaults: true,
          arrays: true,
          objects: true,
        });
        assert.deepEqual(plain(codec.decode(bytes)), plain(theirs));
        assert.deepEqual(codec.encode(codec.decode(bytes)), bytes);
      }),
      runs,
    );
  });
}

test("hostile bytes give WireError and nothing else", () => {
  const codecs = messagesOf(root).map(codecOf);
  fc.assert(
    fc.property(fc.constantFrom(...codecs), fc.uint8Array({ maxLength: 200 }), (codec, bytes) => {
      try {
        codec.encode(codec.decode(bytes));
      } catch (error) {
        assert.ok(error instanceof WireError, String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

test("unknown fields, groups and other wire types are passed over", () => {
  const known = Buffer.from(containerd.task.v2.KillRequest.encode({ id: "web", signal: 9 }));
  const unknown = Buffer.from(
    "9a0603616263 980601 9d0600000000 990600000000000000009b0608019c06 0805".replaceAll(" ", ""),
    "hex",
  );
  const both = Buffer.concat([unknown, known, unknown]);
  assert.deepEqual(containerd.task.v2.KillRequest.decode(both), { id: "web", execId: "", signal: 9, all: false });
});

test("a repeated nested message is merged, as protobuf says", () => {
  const { StateResponse } = containerd.task.v2;
  const parts = [{ exitedAt: { seconds: 5 } }, { exitedAt: { nanos: 7 } }].map((part) => StateResponse.encode(part));
  assert.deepEqual(StateResponse.decode(Buffer.concat(parts)).exitedAt, { seconds: 5n, nanos: 7 });
});

test("a number that does not fit is refused", () => {
  const { DeleteResponse } = containerd.task.v2;
  for (const pid of [-1, 1.5, 2 ** 32]) assert.throws(() => DeleteResponse.encode({ pid }), RangeError);
  const { Timestamp } = google.protobuf;
  for (const seconds of [2 ** 53, 0.5, 2n ** 63n]) assert.throws(() => Timestamp.encode({ seconds }), RangeError);
  assert.throws(() => io.containerd.cgroups.v1.PidsStat.encode({ current: -1n }), RangeError);
});

test("64-bit numbers are exact", () => {
  const { PidsStat } = io.containerd.cgroups.v1;
  const max = 2n ** 64n - 1n;
  assert.deepEqual(PidsStat.decode(PidsStat.encode({ current: max, limit: 2 ** 40 })), {
    current: max,
    limit: 2n ** 40n,
  });
  assert.equal(toBigInt({ low: -1, high: -1, unsigned: true }), max);
  assert.equal(toBigInt({ low: -1, high: -1, unsigned: false }), -1n);
});

test("a string that is not UTF-8 is refused", () => {
  assert.throws(() => containerd.task.v2.StateRequest.decode(Buffer.from([10, 2, 0xc3, 0x28])), WireError);
  assert.equal(containerd.task.v2.StateRequest.decode(Buffer.from([10, 3, 0xef, 0xbf, 0xbd])).id, "\ufffd");
});

test("large messages leave the scratch buffer usable", () => {
  const { Any } = google.protobuf;
  for (const size of [0, 5000, 4 << 20, 10]) {
    const value = Buffer.alloc(size, 7);
    assert.deepEqual(Buffer.from(Any.decode(Any.encode({ typeUrl: "x", value })).value), value);
  }
});

test("the scratch buffer may grow in the middle of nested messages, map entries and packed lists", () => {
  const { ListContentResponse } = containerd.services.content.v1;
  ListContentResponse.encode({ info: [{ digest: "x".repeat(1 << 20) }] }); // a large one is given back: growth begins anew
  for (const count of [1, 40, 400, 4000]) {
    const labels = Object.fromEntries(Array.from({ length: 3 }, (_, key) => [`k${key}`, "v".repeat(count)]));
    const info = Array.from({ length: count }, (_, index) => ({ digest: `d${index}`, size: BigInt(index), labels }));
    const decoded = ListContentResponse.decode(ListContentResponse.encode({ info: info.slice(0, 100) }));
    assert.deepEqual(
      decoded.info.map(({ digest, size, labels }) => ({ digest, size, labels })),
      info.slice(0, 100),
    );
  }
});
