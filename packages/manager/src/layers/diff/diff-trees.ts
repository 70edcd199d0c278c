import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGzip, createZstdCompress } from "node:zlib";
import type { LayerLibc } from "../libc.ts";
import type { Compression } from "../unpack/decompress.ts";
import { ChangeArchive } from "./change-archive.ts";
import { type Trees, treeChanges } from "./tree-changes.ts";

const CHUNK_BYTES = 1 << 18;

/** What to compare and how to pack the result. */
export interface DiffOptions {
  readonly libc: LayerLibc;
  readonly trees: Trees;
  readonly compression: Compression;
  /** Seconds since 1970: no time in the layer is later. */
  readonly latestSeconds: number | undefined;
}

/** A layer that was made. */
export interface DiffResult {
  /** `sha256:` of the uncompressed archive. */
  readonly diffId: string;
  /** `sha256:` of what was written. */
  readonly digest: string;
  /** Of what was written. */
  readonly sizeBytes: number;
}

/**
 * The layer that makes the right tree of the left one, as it is to be stored; `write` is awaited, so a slow writer slows the walk
 * down.
 */
export async function diffTrees(options: DiffOptions, write: (chunk: Buffer) => Promise<void>): Promise<DiffResult> {
  const { libc, trees, compression, latestSeconds } = options;
  const [uncompressed, stored] = [createHash("sha256"), createHash("sha256")];
  let sizeBytes = 0;
  const archive = new ChangeArchive({ libc, root: trees.right, latestSeconds });
  const chunks = hashed(coalesce(archive.encode(treeChanges(libc, trees))), uncompressed);
  for await (const chunk of compress(chunks, compression)) {
    stored.update(chunk);
    sizeBytes += chunk.length;
    await write(chunk);
  }
  const diffId = `sha256:${uncompressed.digest("hex")}`;
  return { diffId, digest: `sha256:${stored.digest("hex")}`, sizeBytes };
}

function compress(chunks: Iterable<Buffer>, compression: Compression): Iterable<Buffer> | AsyncIterable<Buffer> {
  if (compression === "none") return chunks;
  const input = Readable.from(chunks, { objectMode: false, highWaterMark: CHUNK_BYTES });
  const codec =
    compression === "gzip" ? createGzip({ chunkSize: CHUNK_BYTES }) : createZstdCompress({ chunkSize: CHUNK_BYTES });
  input.on("error", (error) => codec.destroy(error));
  return input.pipe(codec);
}

/** Headers are small and many: put them together, so that whoever comes next is not called for each. */
function* coalesce(parts: Iterable<Buffer>): Generator<Buffer, void> {
  let chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  let filled = 0;
  for (const part of parts) {
    for (let at = 0; at < part.length; ) {
      const length = Math.min(part.length - at, CHUNK_BYTES - filled);
      part.copy(chunk, filled, at, at + length);
      [at, filled] = [at + length, filled + length];
      if (filled < CHUNK_BYTES) continue;
      yield chunk;
      [chunk, filled] = [Buffer.allocUnsafeSlow(CHUNK_BYTES), 0];
    }
  }
  if (filled > 0) yield chunk.subarray(0, filled);
}

function* hashed(chunks: Iterable<Buffer>, hash: { update(chunk: Buffer): unknown }): Generator<Buffer, void> {
  for (const chunk of chunks) {
    hash.update(chunk);
    yield chunk;
  }
}
