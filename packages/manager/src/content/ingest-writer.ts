import { Code, ManagerError } from "../errors/manager-error.ts";
import type { BlobFiles } from "./blob-files.ts";
import { algorithmOf, type Digest, type DigestAlgorithm } from "./digest.ts";
import { HashedFile } from "./hashed-file.ts";
import type { IngestDirectory, IngestStatus } from "./ingest-directory.ts";
import { storageStep, toStorageError } from "./storage-error.ts";

/** What a commit must come to: a size (0: any) and a digest (undefined: any). */
export interface CommitConditions {
  readonly totalBytes: number;
  readonly expected: Digest | undefined;
}

/** What a writer works on. */
export interface IngestPlace {
  /** The client's name of the ingest, for errors. */
  readonly ref: string;
  readonly directory: IngestDirectory;
  readonly blobs: BlobFiles;
  readonly algorithm: DigestAlgorithm;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
  readonly signal?: AbortSignal | undefined;
}

type State =
  | { readonly kind: "file"; readonly file: HashedFile }
  /** The bytes are those of a blob that is there already; no directory exists. */
  | { readonly kind: "shared"; readonly digest: Digest; readonly sizeBytes: number; readonly pin: Disposable }
  | { readonly kind: "ended"; readonly why: string };

/** The one writer of an ingest: one call at a time. After a failed write or install it has ended; the ingest can be reopened. */
export class IngestWriter implements AsyncDisposable {
  readonly #place: IngestPlace;
  readonly #release: () => void;
  #state: State;
  #status: IngestStatus;

  private constructor(place: IngestPlace, state: State, status: IngestStatus, release: () => void) {
    this.#place = place;
    this.#state = state;
    this.#status = status;
    this.#release = release;
  }

  /** Resume what is there, or begin. `release` is called when the writer is disposed. */
  static async open(place: IngestPlace, totalBytes: number, release: () => void): Promise<IngestWriter> {
    return storageStep(`ref ${JSON.stringify(place.ref)}`, async () => {
      const status = await place.directory.prepare(totalBytes, place.nowNs());
      const file = await HashedFile.open(place.directory.dataPath, place.algorithm, place.signal);
      return new IngestWriter(place, { kind: "file", file }, status, release);
    });
  }

  /** Begin at the end of a blob that is there already; throws NotFound if it is not. */
  static async share(place: IngestPlace, digest: Digest, release: () => void): Promise<IngestWriter> {
    const pin = place.blobs.pin(digest);
    const sizeBytes = await place.blobs.sizeBytes(digest);
    if (sizeBytes === undefined) {
      pin[Symbol.dispose]();
      throw new ManagerError(Code.NotFound, `content digest ${digest}: not found`);
    }
    const nowNs = place.nowNs();
    const status = { startedAtNs: nowNs, updatedAtNs: nowNs, offsetBytes: sizeBytes, totalBytes: sizeBytes };
    return new IngestWriter(place, { kind: "shared", digest, sizeBytes, pin }, status, release);
  }

  /** Now, without looking at the disk. */
  get status(): IngestStatus {
    return { ...this.#status, offsetBytes: this.offsetBytes };
  }

  get offsetBytes(): number {
    if (this.#state.kind === "file") return this.#state.file.sizeBytes;
    return this.#state.kind === "shared" ? this.#state.sizeBytes : this.#status.offsetBytes;
  }

  /** Of the bytes so far. */
  digest(): Digest {
    const state = this.#open();
    return state.kind === "file" ? state.file.digest() : state.digest;
  }

  /** Append. Throws ResourceExhausted when the disk is full; what did arrive stays. */
  async append(data: Uint8Array): Promise<void> {
    await this.#step(async () => {
      const file = await this.#toFile("copy");
      await file.append(data);
    });
  }

  /** Drop all bytes so far. */
  async clear(): Promise<void> {
    await this.#step(async () => {
      const file = await this.#toFile("empty");
      await file.clear();
    });
  }

  /**
   * Check the conditions (FailedPrecondition; the ingest stays as it is), make the bytes a blob, call `record` and remove the
   * ingest. From before the blob appears until `record` has returned no sweep takes the blob.
   */
  async commit<T>(conditions: CommitConditions, record: (digest: Digest, sizeBytes: number) => T): Promise<T> {
    const digest = await this.#verify(conditions);
    using _ = this.#place.blobs.pin(digest);
    const sizeBytes = this.offsetBytes;
    await this.#step(() => this.#install(digest));
    await this.#end("ingest was committed"); // the open file is a blob now: nothing may touch it
    const result = record(digest, sizeBytes);
    await this.#place.directory.remove();
    return result;
  }

  /** Every later call fails: whoever removes the ingest takes the pen away first. */
  async revoke(): Promise<void> {
    await this.#end("ingest was aborted");
  }

  /** Close; the ingest stays. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#state.kind === "file") await this.#keep(this.#state.file).catch(() => {});
    await this.#end("writer is closed").catch(() => {});
    this.#release();
  }

  /** A power cut may come: what was received should not have to be sent again. Failing is no loss, data is hashed at reopening. */
  async #keep(file: HashedFile): Promise<void> {
    await this.#place.directory.noteUpdate(this.#place.nowNs());
    await file.sync();
  }

  async #verify({ totalBytes, expected }: CommitConditions): Promise<Digest> {
    const subject = JSON.stringify(this.#place.ref);
    if (totalBytes > 0 && totalBytes !== this.offsetBytes) {
      throw failed(`${subject} failed size validation: ${this.offsetBytes} != ${totalBytes}`);
    }
    const state = this.#open();
    if (expected === undefined) return this.digest();
    const actual =
      state.kind === "shared"
        ? state.digest
        : await storageStep(subject, () => state.file.digestBy(algorithmOf(expected), this.#place.signal));
    if (actual !== expected) throw failed(`unexpected commit digest ${actual}, expected ${expected}`);
    return actual;
  }

  async #install(digest: Digest): Promise<void> {
    const state = this.#open();
    if (state.kind === "shared") return;
    if ((await this.#place.blobs.sizeBytes(digest)) === undefined) await state.file.sync();
    this.#open(); // an abort may have come in between
    await this.#place.blobs.install(digest, this.#place.directory.dataPath);
  }

  async #toFile(content: "copy" | "empty"): Promise<HashedFile> {
    const state = this.#open();
    if (state.kind === "file") return state.file;
    const { directory, algorithm, blobs, nowNs, signal } = this.#place;
    const status = await directory.prepare(0, nowNs());
    const file = await HashedFile.open(directory.dataPath, algorithm, signal);
    try {
      await file.clear();
      if (content === "copy") {
        await using blob = await blobs.open(state.digest);
        for await (const chunk of blob.chunks(0, blob.sizeBytes)) await file.append(chunk);
      }
    } catch (error) {
      await file.close();
      throw error;
    }
    state.pin[Symbol.dispose]();
    this.#state = { kind: "file", file };
    this.#status = { ...this.#status, startedAtNs: status.startedAtNs };
    return file;
  }

  #open(): Exclude<State, { kind: "ended" }> {
    if (this.#state.kind === "ended") throw failed(`ref ${JSON.stringify(this.#place.ref)}: ${this.#state.why}`);
    return this.#state;
  }

  async #step(step: () => Promise<void>): Promise<void> {
    try {
      await step();
      this.#status = { ...this.#status, updatedAtNs: this.#place.nowNs() };
    } catch (error) {
      this.#open(); // an abort in between explains it better
      await this.#end("an earlier write failed");
      throw toStorageError(`ref ${JSON.stringify(this.#place.ref)}`, error);
    }
  }

  async #end(why: string): Promise<void> {
    const state = this.#state;
    if (state.kind === "ended") return;
    this.#status = this.status;
    this.#state = { kind: "ended", why };
    if (state.kind === "shared") state.pin[Symbol.dispose]();
    else await state.file.close();
  }
}

function failed(message: string): ManagerError {
  return new ManagerError(Code.FailedPrecondition, message);
}
