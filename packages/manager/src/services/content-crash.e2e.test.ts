import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf, hexOf } from "../content/digest.ts";
import { ingestKey } from "../content/ingest-directory.ts";
import { jobContent } from "../content/testing/crash-job.ts";
import { collectGarbage } from "../gc/collect-garbage.ts";
import { runUntilKilled } from "../testing/run-until-killed.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { openTestContentIn, type TestContent } from "../testing/test-content.ts";

/** KILLS=1000 for more. */
const KILLS = Number(process.env.KILLS ?? 10);
const LIFE_MS = 150;
const CHILD = join(import.meta.dirname, "../testing/content-crash-child.ts");

/** What was answered is on record with its label, leased and whole. */
function verifyDone(content: TestContent, job: number): void {
  const data = jobContent(job);
  const record = content.host.catalog.blobs.get("default", digestOf(data));
  assert.deepEqual([record.sizeBytes, record.labels], [data.length, { job: String(job) }]);
  assert.ok(readFileSync(content.host.files.blobs.path(record.digest)).equals(data), `job ${job}`);
}

/** The ingest that was interrupted, if there is one, holds the beginning of its content; the size of that. */
async function verifyInterrupted(content: TestContent, job: number): Promise<number> {
  const record = content.host.catalog.ingests.find("default", `job ${job}`);
  const status = record && (await content.host.files.ingestStatus(record.backendRef));
  if (record === undefined || status === undefined) return 0;
  const data = readFileSync(join(content.root, "ingest", ingestKey(record.backendRef), "data"));
  assert.equal(data.length, status.offsetBytes);
  assert.ok(jobContent(job).subarray(0, data.length).equals(data), `job ${job}`);
  return data.length;
}

/** After a collection there is nothing on disk that is not on record, and nothing on record that is not on disk. */
async function verifyClean(content: TestContent): Promise<void> {
  await collectGarbage({ ...content.host, database: content.database, snapshotters: new Map() });
  const records = content.host.catalog.blobs.list("default").map(({ digest }) => hexOf(digest));
  assert.deepEqual(readdirSync(join(content.root, "blobs", "sha256")).sort(), records);
  const ingests = content.host.catalog.ingests.list("default").map(({ backendRef }) => ingestKey(backendRef));
  for (const key of readdirSync(join(content.root, "ingest"))) assert.ok(ingests.includes(key), key);
}

test(`${KILLS} kills of a service that writes and collects lose nothing that was answered`, {
  timeout: 300_000,
}, async () => {
  using directory = temporaryDirectory();
  const folder = directory.path;
  {
    await using content = await openTestContentIn(folder);
    content.createLease("crash");
  }
  let next = 0;
  let resumable = 0;
  // On a busy machine few jobs are under way in a life: one kill in the middle of data there must be.
  for (let kill = 0; kill < KILLS || (resumable === 0 && kill < 10 * KILLS); kill++) {
    const first = next;
    next = await runUntilKilled(CHILD, folder, first, LIFE_MS);
    await using content = await openTestContentIn(folder);
    for (let job = first; job < next; job++) verifyDone(content, job);
    if ((await verifyInterrupted(content, next)) > 0) resumable++;
    await verifyClean(content);
  }
  assert.ok(next > 0 && resumable > 0, `${next} jobs done, ${resumable} kills in the middle of data`);
  await using content = await openTestContentIn(folder);
  for (let job = 0; job < next; job++) verifyDone(content, job);
});
