import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Database } from "./database.ts";
import { encodeLabels, type Labels, labelsOf } from "./labels.ts";
import { ensureNamespace } from "./namespaces.ts";
import { integerOf, type Row, textOf } from "./row.ts";

/** What an image is a name of. */
export interface ImageTarget {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: bigint;
  readonly annotations: Labels;
}

/** What a client says of an image. */
export interface ImageFields {
  readonly name: string;
  readonly labels: Labels;
  readonly target: ImageTarget;
}

/** An image on record. */
export interface ImageRecord extends ImageFields {
  readonly createdAtNs: bigint;
  readonly updatedAtNs: bigint;
}

/** Images on record, by namespace and name. */
export class ImageRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Throws NotFound. */
  get(namespace: string, name: string): ImageRecord {
    const row = this.#database.get("select * from images where namespace = ? and name = ?", namespace, name);
    if (row === undefined) throw notFound(name);
    return toRecord(row);
  }

  list(namespace: string): ImageRecord[] {
    return this.#database.all("select * from images where namespace = ? order by name", namespace).map(toRecord);
  }

  /** Throws AlreadyExists. */
  create(namespace: string, record: ImageRecord): void {
    this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const sql = "insert into images values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing";
      if (this.#database.run(sql, namespace, record.name, ...columns(record), record.createdAtNs, record.updatedAtNs))
        return;
      throw new ManagerError(Code.AlreadyExists, `image ${JSON.stringify(record.name)}: already exists`);
    });
  }

  /** Throws NotFound. The time of creation stays. */
  replace(namespace: string, record: Omit<ImageRecord, "createdAtNs">): void {
    const sql =
      "update images set labels = ?, media_type = ?, digest = ?, size = ?, annotations = ?, updated_at = ? where namespace = ? and name = ?";
    if (this.#database.run(sql, ...columns(record), record.updatedAtNs, namespace, record.name) === 0) {
      throw notFound(record.name);
    }
  }

  /** Throws NotFound, also if there is a digest and the image has another. */
  delete(namespace: string, name: string, digest?: string): void {
    const sql = "delete from images where namespace = ? and name = ? and digest = coalesce(?, digest)";
    if (this.#database.run(sql, namespace, name, digest ?? null) === 0) throw notFound(name);
  }
}

function columns({ labels, target }: ImageFields) {
  return [
    encodeLabels(labels),
    target.mediaType,
    target.digest,
    target.sizeBytes,
    encodeLabels(target.annotations),
  ] as const;
}

function toRecord(row: Row): ImageRecord {
  return {
    name: textOf(row, "name"),
    labels: labelsOf(row),
    target: {
      mediaType: textOf(row, "media_type"),
      digest: textOf(row, "digest"),
      sizeBytes: integerOf(row, "size"),
      annotations: labelsOf(row, "annotations"),
    },
    createdAtNs: integerOf(row, "created_at"),
    updatedAtNs: integerOf(row, "updated_at"),
  };
}

function notFound(name: string): ManagerError {
  return new ManagerError(Code.NotFound, `image ${JSON.stringify(name)}: not found`);
}
