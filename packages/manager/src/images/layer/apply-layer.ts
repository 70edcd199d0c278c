import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import type { Syscalls } from "../../host/syscalls.ts";
import { type ByteSource, StreamSource } from "../tar/byte-source.ts";
import { readTar } from "../tar/tar-reader.ts";
import { LayerWriter } from "./layer-writer.ts";

const CHUNK_BYTES = 1 << 18;

/**
 * Unpack a layer (a tar: plain, gzip or zstd, told by its first bytes) into an empty private directory. Returns the digest of the
 * uncompressed stream, trailing bytes included: the diff id. Throws TarError, LayerError, or the system's error.
 */
export async function applyLayer(
  compressed: AsyncIterable<Uint8Array>,
  target: { readonly root: string; readonly lowers: readonly string[]; readonly libc: Syscalls },
): Promise<string> {
  const hash = createHash("sha256");
  const source = new StreamSource(hashed(await decompress(compressed), hash.update.bind(hash)));
  const writer = new LayerWriter(target.root, target.lowers, target.libc);
  for await (const entry of readTar(source)) await writer.add(entry);
  writer.finish();
  await drain(source);
  return `sha256:${hash.digest("hex")}`;
}

async function decompress(stream: AsyncIterable<Uint8Array>): Promise<AsyncIterable<Uint8Array>> {
  const chunks = stream[Symbol.asyncIterator]();
  const first = await chunks.next();
  const head: Uint8Array = first.done ? new Uint8Array(0) : first.value;
  const whole = Readable.from(rejoin(head, chunks), { objectMode: false, highWaterMark: CHUNK_BYTES });
  const codec = startsWith(head, [0x1f, 0x8b, 0x08])
    ? createGunzip({ chunkSize: CHUNK_BYTES })
    : startsWith(head, [0x28, 0xb5, 0x2f, 0xfd])
      ? createZstdDecompress({ chunkSize: CHUNK_BYTES })
      : undefined;
  if (codec === undefined) return whole;
  whole.on("error", (error) => codec.destroy(error));
  return whole.pipe(codec);
}

async function* rejoin(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield Buffer.from(head); // a copy: the source uses its buffer again
  for (let next = await rest.next(); !next.done; next = await rest.next()) yield Buffer.from(next.value);
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

async function* hashed(stream: AsyncIterable<Uint8Array>, update: (bytes: Uint8Array) => unknown) {
  for await (const chunk of stream) {
    update(chunk);
    yield chunk;
  }
}

async function drain(source: ByteSource): Promise<void> {
  while ((await source.readSome(CHUNK_BYTES)) !== undefined);
}
