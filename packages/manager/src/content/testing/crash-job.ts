import { createHash } from "node:crypto";
import type { ContentFiles } from "../content-files.ts";
import { type Digest, digestOf } from "../digest.ts";

const PIECE_BYTES = 32;
const STEP_BYTES = 100_003; // no divisor of anything, so that writes end at odd places

/** What job N has to store: the same bytes in every process, up to about 1 MiB. */
export function jobContent(job: number): Buffer {
  const seed = createHash("sha256").update(`job ${job}`).digest();
  const pieces = seed.readUInt32LE() % 32768;
  const content = Buffer.alloc(pieces * PIECE_BYTES + (job % PIECE_BYTES));
  for (let at = 0; at < content.length; at += PIECE_BYTES) {
    seed.writeUInt32LE(at);
    seed.copy(content, at);
  }
  return content;
}

/** The ingest of a job. */
export function jobRef(job: number): string {
  return `ns/${job}/job`;
}

/** Write a job's content, going on where it was left, and commit it. */
export async function runJob(files: ContentFiles, job: number): Promise<Digest> {
  const content = jobContent(job);
  await using writer = await files.openIngest({
    backendRef: jobRef(job),
    ref: "job",
    totalBytes: content.length,
    algorithm: "sha256",
  });
  while (writer.offsetBytes < content.length) {
    await writer.append(content.subarray(writer.offsetBytes, writer.offsetBytes + STEP_BYTES));
  }
  return await writer.commit({ totalBytes: content.length, expected: digestOf(content) }, (digest) => digest);
}
