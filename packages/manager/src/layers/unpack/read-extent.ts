import { readSync } from "node:fs";

/** A part of an open file. Whoever opened it closes it, after the job. */
export interface FileExtent {
  readonly fd: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

const CHUNK_BYTES = 1 << 19;

/** Its bytes, in chunks of their own, read synchronously. Throws RangeError if the file is shorter. */
export async function* readExtent({ fd, offset, sizeBytes }: FileExtent): AsyncGenerator<Buffer, void> {
  const end = offset + sizeBytes;
  for (let at = offset; at < end; ) {
    const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, end - at));
    const length = readSync(fd, chunk, 0, chunk.length, at);
    if (length === 0) throw new RangeError(`blob: ends at byte ${at}, ${end - at} bytes too early`);
    at += length;
    yield chunk.subarray(0, length);
  }
}
