import assert from "node:assert/strict";
import { test } from "node:test";
import { textLogger } from "../host/logger.ts";
import { shimLogSink } from "./log-shim.ts";

test("lines cut anywhere come out whole; one without end is cut", () => {
  const lines: string[] = [];
  const sink = shimLogSink(
    textLogger((line) => lines.push(line.slice(line.indexOf(" "))), false),
    "ns",
    "web",
  );
  for (const part of ['level=info msg="sch', "ö".slice(0), 'n"\n\nb\nc']) sink(Buffer.from(part));
  assert.deepEqual(lines, [
    ' level=info msg="shim says" namespace=ns id=web line="level=info msg=\\"schön\\""\n',
    ' level=info msg="shim says" namespace=ns id=web line=b\n',
  ]);
  sink(Buffer.alloc(20_000, "x"));
  assert.equal(lines.length, 3);
});
