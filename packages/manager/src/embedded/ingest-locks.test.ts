import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { ContentFiles } from "../content/content-files.ts";
import { once } from "../host/once.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ingestLocks } from "./ingest-locks.ts";

test("one writer per ingest between processes, and no file of it stays", async () => {
  using root = temporaryDirectory();
  using locks = temporaryDirectory();
  // Locks belong to open files, not to processes: two stores in one process stand for two processes.
  const open = () => ContentFiles.open(root.path, () => 0n, ingestLocks(locks.path, once(loadSyscalls)));
  const [first, second] = [await open(), await open()];
  const request = { backendRef: "ns/1/ref", ref: "ref", totalBytes: 0, algorithm: "sha256" } as const;
  const writer = await first.openIngest(request);
  await writer.append(Buffer.from("half"));
  await assert.rejects(second.openIngest(request), { code: 14, message: /locked by another writer/ });
  await (await second.openIngest({ ...request, backendRef: "ns/2/ref" }))[Symbol.asyncDispose]();
  await writer[Symbol.asyncDispose]();
  const resumed = await second.openIngest(request);
  assert.equal(resumed.offsetBytes, 4);
  await resumed[Symbol.asyncDispose]();
  assert.deepEqual(readdirSync(locks.path), []);
});
