import type { Digest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { ServiceCall } from "../grpc/service-call.ts";
import { BlobRecords } from "../metadata/blobs.ts";
import type { Database } from "../metadata/database.ts";
import { updateLabels } from "../metadata/field-mask.ts";
import { type IngestRecord, IngestRecords } from "../metadata/ingests.ts";
import type { Labels } from "../metadata/labels.ts";
import { LeaseRecords, leaseResource } from "../metadata/leases.ts";

const INGEST_LIFE_NS = 24n * 3600n * 1_000_000_000n;

/** A call whose namespace was checked. */
export type NamespacedCall = ServiceCall & { readonly namespace: string };

/** A blob whose bytes are in place. */
export interface NewBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly labels: Labels;
}

/** What happens to content on record, each in one transaction, leases included. Knows no files. */
export class ContentCatalog {
  readonly blobs: BlobRecords;
  readonly ingests: IngestRecords;
  readonly #database: Database;
  readonly #leases: LeaseRecords;
  readonly #nowNs: () => bigint;

  constructor(database: Database, nowNs: () => bigint) {
    this.blobs = new BlobRecords(database);
    this.ingests = new IngestRecords(database);
    this.#database = database;
    this.#leases = new LeaseRecords(database);
    this.#nowNs = nowNs;
  }

  /** Whether the call's namespace has a blob, which then joins the call's lease. Throws NotFound for an unknown lease. */
  meet(call: NamespacedCall, digest: Digest): boolean {
    return this.#database.transaction(() => {
      if (this.blobs.find(call.namespace, digest) === undefined) return false;
      leaseResource(this.#database, call, "content", digest);
      return true;
    });
  }

  /** Begin or go on. Without a lease it expires 24 hours from now, with one it lives as long as that does. */
  openIngest(call: NamespacedCall, ref: string, expected: Digest | undefined): IngestRecord {
    const nowNs = this.#nowNs();
    return this.#database.transaction(() => {
      const ingest = this.ingests.put(call.namespace, {
        ref,
        expected: expected ?? this.ingests.find(call.namespace, ref)?.expected,
        startedAtNs: nowNs,
        expiresAtNs: call.lease === undefined ? nowNs + INGEST_LIFE_NS : undefined,
      });
      leaseResource(this.#database, call, "ingests", ref);
      return ingest;
    });
  }

  /**
   * An ingest has become a blob, or has turned out to be one that was there: false. Either way the blob joins the call's lease. Throws
   * FailedPrecondition if the ingest is not on record any more.
   */
  commitIngest(call: NamespacedCall, ingest: IngestRecord, blob: NewBlob): boolean {
    const nowNs = this.#nowNs();
    return this.#database.transaction(() => {
      if (!this.removeIngest(call.namespace, ingest)) {
        throw new ManagerError(Code.FailedPrecondition, `ref ${JSON.stringify(ingest.ref)}: ingest was aborted`);
      }
      const created = this.blobs.create(call.namespace, { ...blob, createdAtNs: nowNs, updatedAtNs: nowNs });
      leaseResource(this.#database, call, "content", blob.digest);
      return created;
    });
  }

  /** False if it is not on record any more; a later one of the same name is another. */
  removeIngest(namespace: string, { ref, backendRef }: IngestRecord): boolean {
    return this.#database.transaction(() => {
      if (this.ingests.find(namespace, ref)?.backendRef !== backendRef) return false;
      this.ingests.delete(namespace, ref);
      this.#leases.forget(namespace, { type: "ingests", id: ref });
      return true;
    });
  }

  /** Throws NotFound. The bytes stay for those who have the blob in other namespaces, or go with the next collection. */
  removeBlob(namespace: string, digest: Digest): void {
    this.#database.transaction(() => {
      this.blobs.delete(namespace, digest);
      this.#leases.forget(namespace, { type: "content", id: digest });
    });
  }

  /** Labels by an update mask. Throws NotFound, InvalidArgument. */
  updateLabels(namespace: string, digest: Digest, labels: Labels, mask: { paths: string[] } | undefined): void {
    this.#database.transaction(() => {
      const before = this.blobs.get(namespace, digest).labels;
      this.blobs.setLabels(namespace, digest, updateLabels(before, labels, mask), this.#nowNs());
    });
  }
}
