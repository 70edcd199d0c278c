import { closeSync, constants, ftruncateSync, openSync, writeSync } from "node:fs";
import { type ByteString, toFsPath } from "../tar/byte-string.ts";
import type { SparseMap } from "../tar/sparse-map.ts";

const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
const PRIVATE_MODE = 0o600; // until owner and mode are set

/** A new regular file that is being written. The owner disposes of it. */
export class FileWriter implements Disposable {
  readonly fd: number;
  readonly path: ByteString;
  readonly #sparse: SparseMap | undefined;
  #extent = 0;
  #inExtent = 0;
  #isOpen = true;

  /** Throws the system's error: EEXIST if anything has that name. */
  constructor(path: ByteString, sparse: SparseMap | undefined) {
    this.path = path;
    this.#sparse = sparse;
    this.fd = openSync(toFsPath(path), FLAGS, PRIVATE_MODE);
  }

  /** The next stored bytes. */
  write(chunk: Buffer): void {
    if (this.#sparse === undefined) writeAll(this.fd, chunk, undefined);
    else this.#writeExtents(chunk, this.#sparse);
  }

  /** Holes at the end have no bytes to write, only a length. */
  finish(): void {
    if (this.#sparse !== undefined) ftruncateSync(this.fd, this.#sparse.realSizeBytes);
  }

  [Symbol.dispose](): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.fd);
  }

  #writeExtents(chunk: Buffer, { extents }: SparseMap): void {
    for (let at = 0; at < chunk.length; ) {
      const extent = extents[this.#extent];
      if (extent === undefined) throw new RangeError("more bytes than the sparse map has"); // the reader has checked the sum
      const length = Math.min(extent.sizeBytes - this.#inExtent, chunk.length - at);
      writeAll(this.fd, chunk.subarray(at, at + length), extent.offset + this.#inExtent);
      at += length;
      this.#inExtent += length;
      if (this.#inExtent < extent.sizeBytes) continue;
      this.#extent++;
      this.#inExtent = 0;
    }
  }
}

function writeAll(fd: number, chunk: Buffer, position: number | undefined): void {
  for (let at = 0; at < chunk.length; ) {
    at += writeSync(fd, chunk, at, chunk.length - at, position === undefined ? null : position + at);
  }
}
