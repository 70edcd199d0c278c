import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { errnoOf, messageOf } from "../../errors/manager-error.ts";
import { LayerError } from "./layer-error.ts";

/** How a layer's bytes are packed. */
export type Compression = "none" | "gzip" | "zstd";

const CHUNK_BYTES = 1 << 19;
const MAGIC_BYTES = 4;

/** Compression by the first 4 bytes (fewer if there are no more): gzip, a zstd frame or one of its skippable frames, or none. */
export function detectCompression(head: Uint8Array): Compression {
  const [a, b, c, d] = head;
  if (a === 0x1f && b === 0x8b) return "gzip";
  if (b === 0xb5 && c === 0x2f && d === 0xfd && a === 0x28) return "zstd";
  const isSkippable = a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18;
  return isSkippable ? "zstd" : "none";
}

/**
 * The uncompressed stream of a layer. Its packing is told by the first bytes, or is "none" if `isPlain`. The work is done on a thread of
 * libuv's pool, so the next chunk is ready when this one has been used. Chunks must not be overwritten by their source. Throws LayerError for a broken stream.
 */
export async function* decompress(stream: AsyncIterable<Buffer>, isPlain: boolean): AsyncGenerator<Buffer, void> {
  const source = stream[Symbol.asyncIterator]();
  const head = await readHead(source);
  const whole = rejoin(head, source);
  const compression = isPlain ? "none" : detectCompression(head);
  if (compression === "none") return yield* whole;
  const codec =
    compression === "gzip"
      ? createGunzip({ chunkSize: CHUNK_BYTES })
      : createZstdDecompress({ chunkSize: CHUNK_BYTES });
  const input = Readable.from(whole, { objectMode: false, highWaterMark: CHUNK_BYTES });
  input.on("error", (error) => codec.destroy(error));
  try {
    yield* input.pipe(codec);
  } catch (error) {
    if (!/^(Z_|ZSTD_|ERR_(BUFFER|TRAILING))/.test(errnoOf(error) ?? "")) throw error;
    throw new LayerError(`${compression} stream: ${messageOf(error)}`, { cause: error });
  } finally {
    input.destroy();
  }
}

/** At least as many bytes as the magic numbers have, if there are. */
async function readHead(source: AsyncIterator<Buffer>): Promise<Buffer> {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < MAGIC_BYTES) {
    const next = await source.next();
    if (next.done) break;
    head = head.length === 0 ? next.value : Buffer.concat([head, next.value]);
  }
  return head;
}

async function* rejoin(head: Buffer, rest: AsyncIterator<Buffer>): AsyncGenerator<Buffer, void> {
  if (head.length > 0) yield head;
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
}
