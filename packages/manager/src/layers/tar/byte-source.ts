import type { FileHandle } from "node:fs/promises";

/** Bytes that are read once, in order. */
export interface ByteSource {
  /** Bytes read or skipped so far. */
  readonly position: number;
  /** Up to `length` bytes, more than 0; undefined at the end. The result may be a view that is valid until the next call. */
  readSome(length: number): Promise<Uint8Array | undefined>;
  /** Throws RangeError if the end comes before. */
  skip(length: number): Promise<void>;
}

/** Exactly `length` bytes, or fewer at the end. */
export async function readExactly(source: ByteSource, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  let filled = 0;
  while (filled < length) {
    const chunk = await source.readSome(length - filled);
    if (chunk === undefined) return buffer.subarray(0, filled);
    buffer.set(chunk, filled);
    filled += chunk.length;
  }
  return buffer;
}

const CHUNK_BYTES = 1 << 18;

/** A file, or a part of it; skipping costs nothing. Does not own the handle. */
export class FileSource implements ByteSource {
  readonly #file: FileHandle;
  readonly #end: number;
  readonly #buffer = Buffer.alloc(CHUNK_BYTES);
  readonly #begin: number;
  #at: number;

  constructor(file: FileHandle, begin: number, end: number) {
    this.#file = file;
    this.#begin = begin;
    this.#at = begin;
    this.#end = end;
  }

  get position(): number {
    return this.#at - this.#begin;
  }

  async readSome(length: number): Promise<Uint8Array | undefined> {
    const wanted = Math.min(length, CHUNK_BYTES, this.#end - this.#at);
    if (wanted <= 0) return undefined;
    const { bytesRead } = await this.#file.read(this.#buffer, 0, wanted, this.#at);
    if (bytesRead === 0) return undefined;
    this.#at += bytesRead;
    return this.#buffer.subarray(0, bytesRead);
  }

  async skip(length: number): Promise<void> {
    if (length > this.#end - this.#at) throw new RangeError(`cut short at byte ${this.#end - this.#begin}`);
    this.#at += length;
  }
}

/** Any stream of chunks. */
export class StreamSource implements ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);
  #position = 0;

  constructor(stream: AsyncIterable<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  get position(): number {
    return this.#position;
  }

  async readSome(length: number): Promise<Uint8Array | undefined> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next();
      if (next.done) return undefined;
      this.#rest = next.value;
    }
    const part = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(part.length);
    this.#position += part.length;
    return part;
  }

  async skip(length: number): Promise<void> {
    let left = length;
    while (left > 0) {
      const chunk = await this.readSome(left);
      if (chunk === undefined) throw new RangeError(`cut short at byte ${this.#position}`);
      left -= chunk.length;
    }
  }
}
