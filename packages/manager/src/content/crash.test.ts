import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ContentFiles } from "./content-files.ts";
import { digestOf, hexOf } from "./digest.ts";
import { ingestKey } from "./ingest-directory.ts";
import { jobContent, jobRef, runJob } from "./testing/crash-job.ts";

const KILLS = 100;
const LIFE_MS = 40;

/** Run jobs in a process that is killed after a time that nobody knows; the first job that it has not called done. */
async function runUntilKilled(root: string, first: number): Promise<number> {
  const script = join(import.meta.dirname, "testing", "crash-child.ts");
  const child = spawn(process.execPath, [script, root, String(first)], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  let next = first;
  for await (const line of createInterface(child.stdout)) {
    if (line === "ready") void setTimeout(Math.random() * LIFE_MS).then(() => child.kill("SIGKILL"));
    else next = Number(line) + 1;
  }
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  return next;
}

/** Every blob is whole, what was called done is there, and the ingest that was interrupted holds the beginning of its content. */
async function verify(root: string, done: readonly number[], interrupted: number): Promise<number | undefined> {
  const blobs = join(root, "blobs", "sha256");
  for (const name of readdirSync(blobs)) {
    assert.equal(
      createHash("sha256")
        .update(readFileSync(join(blobs, name)))
        .digest("hex"),
      name,
    );
  }
  for (const job of done) assert.ok(statSync(join(blobs, hexOf(digestOf(jobContent(job))))).isFile(), `job ${job}`);
  const ingests = readdirSync(join(root, "ingest"));
  assert.ok(ingests.length <= 1 && ingests.every((name) => name === ingestKey(jobRef(interrupted))), ingests.join());
  const files = await ContentFiles.open(root, () => 0n);
  const status = await files.ingestStatus(jobRef(interrupted));
  if (status === undefined) return undefined;
  const data = readFileSync(join(root, "ingest", ingestKey(jobRef(interrupted)), "data"));
  assert.equal(data.length, status.offsetBytes);
  assert.ok(jobContent(interrupted).subarray(0, data.length).equals(data));
  return status.offsetBytes;
}

test(`${KILLS} kills leave whole blobs and ingests that can be resumed`, { timeout: 120_000 }, async () => {
  using directory = temporaryDirectory();
  const root = join(directory.path, "content");
  let next = 0;
  let resumable = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const first = next;
    next = await runUntilKilled(root, first);
    const done = Array.from({ length: next - first }, (_, index) => first + index);
    if (((await verify(root, done, next)) ?? 0) > 0) resumable++;
  }
  assert.ok(next > 0 && resumable > 0, `${next} jobs done, ${resumable} kills in the middle of data`);
  assert.equal(await runJob(await ContentFiles.open(root, () => 0n), next), digestOf(jobContent(next)));
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
});
