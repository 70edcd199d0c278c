import { createHash, type Hash } from "node:crypto";
import { constants, type FileHandle, open } from "node:fs/promises";
import { type Digest, type DigestAlgorithm, digestSoFar } from "./digest.ts";

const HASH_STEP_BYTES = 1 << 20;

/**
 * A file that grows at its end and knows the digest of all that is in it. One call at a time. After a failed call only `close` is
 * legal: how much has arrived is known again when the file is opened anew.
 */
export class HashedFile {
  readonly #file: FileHandle;
  readonly #algorithm: DigestAlgorithm;
  #hash: Hash;
  #sizeBytes = 0;

  private constructor(file: FileHandle, algorithm: DigestAlgorithm) {
    this.#file = file;
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  /** Open or make (0644); what is there is hashed, which can be interrupted. A symbolic link is refused. */
  static async open(path: string, algorithm: DigestAlgorithm, signal?: AbortSignal): Promise<HashedFile> {
    const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
    try {
      const hashed = new HashedFile(file, algorithm);
      hashed.#sizeBytes = await feed(file, hashed.#hash, signal);
      return hashed;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** Of all bytes so far. */
  digest(): Digest {
    return digestSoFar(this.#algorithm, this.#hash);
  }

  /** By another algorithm than the file's own, which means reading it again. */
  async digestBy(algorithm: DigestAlgorithm, signal?: AbortSignal): Promise<Digest> {
    if (algorithm === this.#algorithm) return this.digest();
    const hash = createHash(algorithm);
    await feed(this.#file, hash, signal);
    return digestSoFar(algorithm, hash);
  }

  /** All of `data` at the end, hashed while the kernel writes. */
  async append(data: Uint8Array): Promise<void> {
    const written = this.#write(data);
    this.#hash.update(data);
    await written;
    this.#sizeBytes += data.length;
  }

  async #write(data: Uint8Array): Promise<void> {
    for (let done = 0; done < data.length; ) {
      const { bytesWritten } = await this.#file.write(data, done, data.length - done, this.#sizeBytes + done);
      done += bytesWritten;
    }
  }

  /** Drop everything. */
  async clear(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash(this.#algorithm);
    this.#sizeBytes = 0;
  }

  /**
   * Reach the disk. After a failed sync the kernel may have dropped what it could not write and would call the next sync a success,
   * so nothing that is in the file can be trusted: it is emptied.
   */
  async sync(): Promise<void> {
    try {
      await this.#file.sync();
    } catch (error) {
      await this.clear().catch(() => {});
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Feed a file from its beginning to a hash; the number of bytes. */
async function feed(file: FileHandle, hash: Hash, signal: AbortSignal | undefined): Promise<number> {
  const buffer = Buffer.allocUnsafe(HASH_STEP_BYTES);
  for (let position = 0; ; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, buffer.length, position);
    if (bytesRead === 0) return position;
    hash.update(buffer.subarray(0, bytesRead));
    position += bytesRead;
  }
}
