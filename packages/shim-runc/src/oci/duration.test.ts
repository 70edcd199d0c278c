import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDuration } from "./duration.ts";

test("spans of time as runc's flags have them", () => {
  const spans = { "5s": 5000, "500ms": 500, "1m30s": 90_000, "1.5h": 5_400_000, ".5s": 500, "100us": 0.1 };
  for (const [text, ms] of Object.entries(spans)) assert.equal(parseDuration("interval", text), ms);
  for (const text of ["", "5", "0s", "-1s", "1d", "5s ", "1s,2s", "9999h"])
    assert.throws(() => parseDuration("interval", text), /--interval ".*": not a span of time/, text);
});
