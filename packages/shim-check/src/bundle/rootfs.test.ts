import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { isStatic } from "./rootfs.ts";

test("a program with an interpreter is not static, a text is no program, one without an interpreter is static", () => {
  const dynamic = readFileSync("/bin/sh");
  assert.equal(isStatic(dynamic), false);
  assert.equal(isStatic(Buffer.from("#!/bin/sh\n".repeat(20))), false);
  const INTERPRETER = 3;
  const tableAt = Number(dynamic.readBigUInt64LE(32));
  const entryBytes = dynamic.readUInt16LE(54);
  for (let at = tableAt; at < tableAt + dynamic.readUInt16LE(56) * entryBytes; at += entryBytes)
    if (dynamic.readUInt32LE(at) === INTERPRETER) dynamic.writeUInt32LE(0, at);
  assert.equal(isStatic(dynamic), true);
});
