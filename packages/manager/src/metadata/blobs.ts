import { type Digest, parseDigest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Database } from "./database.ts";
import { encodeLabels, type Labels, labelsOf } from "./labels.ts";
import { ensureNamespace } from "./namespaces.ts";
import { integerOf, type Row, textOf } from "./row.ts";

/** A blob on record in one namespace; its bytes are shared by all. */
export interface BlobRecord {
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly labels: Labels;
  readonly createdAtNs: bigint;
  readonly updatedAtNs: bigint;
}

/** Blobs on record, by namespace and digest. */
export class BlobRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(namespace: string, digest: string): BlobRecord | undefined {
    const row = this.#database.get("select * from blobs where namespace = ? and digest = ?", namespace, digest);
    return row && toRecord(row);
  }

  /** Throws NotFound. */
  get(namespace: string, digest: string): BlobRecord {
    const record = this.find(namespace, digest);
    if (record === undefined) throw notFound(digest);
    return record;
  }

  list(namespace: string): BlobRecord[] {
    return this.#database.all("select * from blobs where namespace = ? order by digest", namespace).map(toRecord);
  }

  /** Whether any namespace has it: the bytes of all others are garbage. */
  isOnRecord(digest: string): boolean {
    return this.#database.get("select 1 from blobs where digest = ? limit 1", digest) !== undefined;
  }

  /** False, and nothing changes, if the namespace has it already. */
  create(namespace: string, { digest, sizeBytes, labels, createdAtNs, updatedAtNs }: BlobRecord): boolean {
    return this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const sql = "insert into blobs values (?, ?, ?, ?, ?, ?) on conflict do nothing";
      const values = [digest, sizeBytes, encodeLabels(labels), createdAtNs, updatedAtNs] as const;
      return this.#database.run(sql, namespace, ...values) === 1;
    });
  }

  /** Throws NotFound. */
  setLabels(namespace: string, digest: string, labels: Labels, updatedAtNs: bigint): void {
    const sql = "update blobs set labels = ?, updated_at = ? where namespace = ? and digest = ?";
    if (this.#database.run(sql, encodeLabels(labels), updatedAtNs, namespace, digest) === 0) throw notFound(digest);
  }

  /** Throws NotFound. */
  delete(namespace: string, digest: string): void {
    const sql = "delete from blobs where namespace = ? and digest = ?";
    if (this.#database.run(sql, namespace, digest) === 0) throw notFound(digest);
  }
}

function digestOf(row: Row): Digest {
  return parseDigest("digest", textOf(row, "digest"));
}

function toRecord(row: Row): BlobRecord {
  return {
    digest: digestOf(row),
    sizeBytes: Number(integerOf(row, "size")),
    labels: labelsOf(row),
    createdAtNs: integerOf(row, "created_at"),
    updatedAtNs: integerOf(row, "updated_at"),
  };
}

function notFound(digest: string): ManagerError {
  return new ManagerError(Code.NotFound, `content digest ${digest}: not found`);
}
