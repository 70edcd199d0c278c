import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fromTimestamp, GO_ZERO_TIME, google, toTimestamp } from "./index.ts";

const { Timestamp } = google.protobuf;

test("Go's zero time crosses the wire", () => {
  const decoded = Timestamp.decode(Timestamp.encode(toTimestamp(GO_ZERO_TIME)));
  assert.deepEqual(decoded, { seconds: -62135596800n, nanos: 0 });
  assert.equal(fromTimestamp(decoded), GO_ZERO_TIME);
});

test("every nanosecond survives", () => {
  fc.assert(
    fc.property(fc.bigInt(GO_ZERO_TIME, 253402300799999999999n), (ns) => {
      const timestamp = toTimestamp(ns);
      assert.ok(timestamp.nanos >= 0 && timestamp.nanos < 1e9);
      assert.equal(fromTimestamp(Timestamp.decode(Timestamp.encode(timestamp))), ns);
    }),
  );
});
