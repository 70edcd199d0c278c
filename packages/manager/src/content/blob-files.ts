import { closeSync, fstatSync, openSync, read, readSync, unlinkSync } from "node:fs";
import { chmod, constants, type FileHandle, mkdir, open, opendir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { algorithmOf, DIGEST_ALGORITHMS, type Digest, hexOf, isDigest } from "./digest.ts";
import { storageStep } from "./storage-error.ts";

/** Bytes of one chunk of a read, at most: 1 MiB. */
export const CHUNK_BYTES = 1 << 20;

/** Clients read in slices of 32 KiB, each a call of its own; so much takes less time to read than to wake another thread. */
const SLICE_BYTES = 64 << 10;

const readAt = promisify(read);

/** One blob, open for reading; it can be read to its end even if it is removed meanwhile. */
export class OpenBlob implements AsyncDisposable {
  readonly sizeBytes: number;
  readonly #digest: Digest;
  readonly #fd: number;
  #reading: Promise<unknown> | undefined;
  #closed = false;

  private constructor(digest: Digest, fd: number, sizeBytes: number) {
    this.#digest = digest;
    this.#fd = fd;
    this.sizeBytes = sizeBytes;
  }

  /** Undefined if there is no such file; throws the system's error. */
  static open(digest: Digest, path: string): OpenBlob | undefined {
    const fd = openIfThere(path);
    if (fd === undefined) return undefined;
    try {
      return new OpenBlob(digest, fd, fstatSync(fd).size);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** `lengthBytes` from `offsetBytes` on, in chunks of at most 1 MiB that the taker may keep. Ends early if the file does. */
  async *chunks(offsetBytes: number, lengthBytes: number): AsyncGenerator<Buffer<ArrayBuffer>> {
    for (let done = 0; done < lengthBytes; ) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, lengthBytes - done));
      const position = offsetBytes + done;
      const { bytesRead } = await storageStep(`content ${this.#digest}`, () => this.#read(buffer, position));
      if (bytesRead === 0) return;
      done += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  /** Twice is harmless. A read that is under way is waited for: its descriptor must not become another file's. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#reading?.catch(() => {});
    closeSync(this.#fd);
  }

  async #read(buffer: Buffer, position: number): Promise<{ readonly bytesRead: number }> {
    if (this.#closed) throw new Error(`content ${this.#digest}: read after close`);
    if (buffer.length <= SLICE_BYTES) return { bytesRead: readSync(this.#fd, buffer, 0, buffer.length, position) };
    const reading = readAt(this.#fd, buffer, 0, buffer.length, position);
    this.#reading = reading;
    return reading;
  }
}

/** The folder `blobs/<algorithm>/<hex>`: whole blobs only, mode 0444. */
export class BlobFiles {
  readonly #folder: string;
  readonly #pins = new Map<Digest, number>();

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Make the folders that are missing. */
  static async open(folder: string): Promise<BlobFiles> {
    for (const algorithm of DIGEST_ALGORITHMS) await mkdir(join(folder, algorithm), { recursive: true, mode: 0o755 });
    await syncDirectory(folder);
    return new BlobFiles(folder);
  }

  /** Where a blob is, or would be. */
  path(digest: Digest): string {
    return join(this.#folder, algorithmOf(digest), hexOf(digest));
  }

  /** Undefined if there is no such blob. */
  async sizeBytes(digest: Digest): Promise<number | undefined> {
    try {
      return (await stat(this.path(digest))).size;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** Throws NotFound. */
  async open(digest: Digest): Promise<OpenBlob> {
    const blob = OpenBlob.open(digest, this.path(digest));
    if (blob === undefined) throw new ManagerError(Code.NotFound, `content digest ${digest}: not found`);
    return blob;
  }

  /**
   * Move a verified, synced file to its place, which is durable when this returns. If the blob is there already the file stays
   * where it is. The caller holds a pin.
   */
  async install(digest: Digest, dataPath: string): Promise<void> {
    const path = this.path(digest);
    if ((await this.sizeBytes(digest)) === undefined) await rename(dataPath, path);
    await chmod(path, 0o444);
    await syncDirectory(join(this.#folder, algorithmOf(digest)));
  }

  /** No sweep takes the blob until the result is disposed; it need not exist. */
  pin(digest: Digest): Disposable {
    this.#pins.set(digest, (this.#pins.get(digest) ?? 0) + 1);
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#unpin(digest);
        held = false;
      },
    };
  }

  /** Remove a blob unless it is pinned or `isGarbage` says no. Nothing happens between that answer and the removal. */
  async sweep(digest: Digest, isGarbage: () => boolean): Promise<boolean> {
    // The blocks of a big file are freed by the last close, on another thread; unlink alone takes no time.
    const file = await this.#openFile(digest);
    if (file === undefined) return false;
    try {
      if (this.#pins.has(digest) || !isGarbage()) return false;
      unlinkSync(this.path(digest));
      return true;
    } finally {
      await file.close();
    }
  }

  /** All blobs, in no order; what comes or goes meanwhile may be in it or not. Other files in the folder are nobody's. */
  async *walk(): AsyncGenerator<Digest> {
    for (const algorithm of DIGEST_ALGORITHMS) {
      for await (const { name } of await opendir(join(this.#folder, algorithm))) {
        const digest = `${algorithm}:${name}`;
        if (isDigest(digest)) yield digest;
      }
    }
  }

  #unpin(digest: Digest): void {
    const count = (this.#pins.get(digest) ?? 1) - 1;
    if (count > 0) this.#pins.set(digest, count);
    else this.#pins.delete(digest);
  }

  async #openFile(digest: Digest): Promise<FileHandle | undefined> {
    try {
      return await open(this.path(digest), constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
}

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
