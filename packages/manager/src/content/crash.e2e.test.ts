import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { runUntilKilled } from "../testing/run-until-killed.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ContentFiles } from "./content-files.ts";
import { digestOf, hexOf } from "./digest.ts";
import { ingestKey } from "./ingest-directory.ts";
import { jobContent, jobRef, runJob } from "./testing/crash-job.ts";

/** KILLS=1000 for more. */
const KILLS = Number(process.env.KILLS ?? 25);
const LIFE_MS = 40;
const CHILD = join(import.meta.dirname, "testing", "crash-child.ts");

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

test(`${KILLS} kills leave whole blobs and ingests that can be resumed`, { timeout: 300_000 }, async () => {
  using directory = temporaryDirectory();
  const root = join(directory.path, "content");
  let next = 0;
  let resumable = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const first = next;
    next = await runUntilKilled(CHILD, root, first, LIFE_MS);
    const done = Array.from({ length: next - first }, (_, index) => first + index);
    if (((await verify(root, done, next)) ?? 0) > 0) resumable++;
  }
  assert.ok(next > 0 && resumable > 0, `${next} jobs done, ${resumable} kills in the middle of data`);
  assert.equal(await runJob(await ContentFiles.open(root, () => 0n), next), digestOf(jobContent(next)));
  assert.deepEqual(readdirSync(join(root, "ingest")), []);
});
