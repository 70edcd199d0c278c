import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { listenOnSocket } from "./unix-socket.ts";

test("a stale file is replaced, the mode is 0660, and the file goes with the socket", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "new", "a.sock");
  await using first = await listenOnSocket(path, (socket) => socket.end("1"));
  await first[Symbol.asyncDispose]();
  assert.equal(existsSync(path), false);
  writeFileSync(path, "");
  await using second = await listenOnSocket(path, (socket) => socket.end("2"));
  assert.equal(statSync(path).mode & 0o777, 0o660);
  const [data] = await once(connect(path), "data");
  assert.equal(String(data), "2");
  await second[Symbol.asyncDispose]();
  assert.equal(existsSync(path), false);
});

test("a socket that somebody else has put there stays", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "a.sock");
  const first = await listenOnSocket(path, (socket) => socket.end("1"));
  await using _second = await listenOnSocket(path, (socket) => socket.end("2"));
  await first[Symbol.asyncDispose]();
  assert.equal(existsSync(path), true);
});

test("a path of 105 bytes is refused, with its length", async () => {
  for (const path of [`/tmp/${"é".repeat(50)}`, ""]) {
    await assert.rejects(
      listenOnSocket(path, () => {}),
      { code: 3, message: new RegExp(`has ${Buffer.byteLength(path)}$`) },
    );
  }
});
