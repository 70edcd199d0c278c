import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { BlobFiles } from "./blob-files.ts";
import type { Digest, DigestAlgorithm } from "./digest.ts";
import { IngestDirectory, type IngestStatus, ingestKey } from "./ingest-directory.ts";
import { IngestWriter } from "./ingest-writer.ts";

const INGEST_KEY = /^[0-9a-f]{64}$/;

/** Which ingest to write. */
export interface OpenIngest {
  /** Unique among all namespaces and for all time; the name of its directory is made of it. */
  readonly backendRef: string;
  /** The client's name, for errors. */
  readonly ref: string;
  /** 0 if unknown. An ingest that was meant to become another size starts over. */
  readonly totalBytes: number;
  /** Of the digests that the writer reports. */
  readonly algorithm: DigestAlgorithm;
  /** Start with the bytes of this blob, which must exist, instead of what was received. */
  readonly shared?: Digest | undefined;
  /** Interrupts the hashing of what is there. */
  readonly signal?: AbortSignal;
}

/** Keeps other processes from writing an ingest. */
export interface IngestLock {
  /** By `ingestKey`; undefined if another process writes it. */
  take(key: string): Disposable | undefined;
}

/**
 * The bytes of the content store under one root: blobs and ingests. Knows no namespaces, labels or leases. A kill at any moment
 * leaves whole blobs and ingests that can be resumed. One process at a time, or several with an `IngestLock`; sweeps want one.
 */
export class ContentFiles {
  readonly blobs: BlobFiles;
  readonly #ingests: string;
  readonly #nowNs: () => bigint;
  readonly #lock: IngestLock | undefined;
  /** By backend ref; undefined while one opens. */
  readonly #writers = new Map<string, IngestWriter | undefined>();

  private constructor(blobs: BlobFiles, ingests: string, nowNs: () => bigint, lock: IngestLock | undefined) {
    this.blobs = blobs;
    this.#lock = lock;
    this.#ingests = ingests;
    this.#nowNs = nowNs;
  }

  /** Make the folders that are missing. `nowNs` is the clock, in nanoseconds since 1970. */
  static async open(root: string, nowNs: () => bigint, lock?: IngestLock): Promise<ContentFiles> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    const ingests = join(root, "ingest");
    await mkdir(ingests, { recursive: true, mode: 0o755 });
    return new ContentFiles(await BlobFiles.open(join(root, "blobs")), ingests, nowNs, lock);
  }

  /** Become the one writer, until the result is disposed. Unavailable if there is one; clients try again. */
  async openIngest(request: OpenIngest): Promise<IngestWriter> {
    const { backendRef, ref, totalBytes, algorithm, shared, signal } = request;
    this.refuseSecondWriter(backendRef, ref);
    this.#writers.set(backendRef, undefined);
    let held: Disposable | undefined;
    const release = () => {
      held?.[Symbol.dispose]();
      this.#writers.delete(backendRef);
    };
    const place = {
      ref,
      directory: this.#directory(backendRef),
      blobs: this.blobs,
      algorithm,
      nowNs: this.#nowNs,
      signal,
    };
    try {
      held = this.#lock?.take(ingestKey(backendRef));
      if (this.#lock !== undefined && held === undefined) throw locked(ref);
      const writer =
        shared === undefined
          ? await IngestWriter.open(place, totalBytes, release)
          : await IngestWriter.share(place, shared, release);
      this.#writers.set(backendRef, writer);
      return writer;
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Throws Unavailable while there is a writer. `ref` is the client's name. */
  refuseSecondWriter(backendRef: string, ref: string): void {
    if (this.#writers.has(backendRef)) throw locked(ref);
  }

  /** Whether somebody writes it, or is about to. */
  isOpen(backendRef: string): boolean {
    return this.#writers.has(backendRef);
  }

  /** Undefined if nothing was received, or all of it is gone. */
  async ingestStatus(backendRef: string): Promise<IngestStatus | undefined> {
    return this.#writers.get(backendRef)?.status ?? (await this.#directory(backendRef).read());
  }

  /** Remove an ingest, from under its writer too. Already gone is success. */
  async abort(backendRef: string): Promise<void> {
    await this.#writers.get(backendRef)?.revoke();
    await this.#directory(backendRef).remove();
  }

  /**
   * Remove the directories of all ingests but those whose keys (`ingestKey`) are known, and say how many. `knownKeys` is asked
   * once, after looking at the disk, so an ingest that is on record before its directory is made is safe.
   */
  async sweepIngests(knownKeys: () => ReadonlySet<string>): Promise<number> {
    const names = await readdir(this.#ingests);
    const known = knownKeys();
    const doomed = names.filter((name) => INGEST_KEY.test(name) && !known.has(name));
    for (const name of doomed) await rm(join(this.#ingests, name), { recursive: true, force: true });
    return doomed.length;
  }

  #directory(backendRef: string): IngestDirectory {
    return new IngestDirectory(this.#ingests, backendRef);
  }
}

function locked(ref: string): ManagerError {
  return new ManagerError(Code.Unavailable, `ref ${JSON.stringify(ref)} locked by another writer`);
}
