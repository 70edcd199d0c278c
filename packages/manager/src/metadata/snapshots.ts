import { Code, ManagerError } from "../errors/manager-error.ts";
import { nextValue } from "./counter.ts";
import type { Database } from "./database.ts";
import { encodeLabels, type Labels, labelsOf } from "./labels.ts";
import { ensureNamespace } from "./namespaces.ts";
import { integerOf, type Row, textOf } from "./row.ts";

/** `active` can be written, `view` cannot, `committed` can be a parent. */
export type SnapshotKind = "active" | "view" | "committed";

/** What a snapshot takes on disk. */
export interface SnapshotUsage {
  readonly sizeBytes: bigint;
  readonly inodes: bigint;
}

/** A snapshot on record. */
export interface SnapshotRecord {
  /** Key of an active one or a view, name of a committed one: they share one space of names. */
  readonly key: string;
  /** Names the directory, from 1; stays when it is committed. */
  readonly id: string;
  readonly kind: SnapshotKind;
  /** Empty for a base. */
  readonly parent: string;
  readonly labels: Labels;
  readonly createdAtNs: bigint;
  readonly updatedAtNs: bigint;
  /** Of a committed one. */
  readonly usage: SnapshotUsage | undefined;
}

/** What a new snapshot begins with. */
export type NewSnapshot = Pick<SnapshotRecord, "key" | "parent" | "labels" | "createdAtNs"> & {
  readonly kind: "active" | "view";
};

/** What becomes of an active snapshot. */
export interface CommitSnapshot {
  readonly name: string;
  /** Instead of those it had. */
  readonly labels: Labels;
  readonly usage: SnapshotUsage;
  readonly committedAtNs: bigint;
}

/** Snapshots of one snapshotter on record, by namespace and key. Parents and children are in one namespace. */
export class SnapshotRecords {
  readonly #database: Database;
  readonly snapshotter: string;

  constructor(database: Database, snapshotter: string) {
    this.#database = database;
    this.snapshotter = snapshotter;
  }

  find(namespace: string, key: string): SnapshotRecord | undefined {
    const sql = "select * from snapshots where namespace = ? and snapshotter = ? and key = ?";
    const row = this.#database.get(sql, namespace, this.snapshotter, key);
    return row && toRecord(row);
  }

  /** Throws NotFound. */
  get(namespace: string, key: string): SnapshotRecord {
    const record = this.find(namespace, key);
    if (record === undefined) throw notFound(key);
    return record;
  }

  list(namespace: string): SnapshotRecord[] {
    const sql = "select * from snapshots where namespace = ? and snapshotter = ? order by key";
    return this.#database.all(sql, namespace, this.snapshotter).map(toRecord);
  }

  /** Ids of every namespace: directories of all others are garbage. */
  ids(): string[] {
    const sql = "select id from snapshots where snapshotter = ? order by id";
    return this.#database.all(sql, this.snapshotter).map((row) => String(integerOf(row, "id")));
  }

  /** The parent, its parent, and so on to the base. Throws NotFound. */
  parents(namespace: string, key: string): SnapshotRecord[] {
    return this.#database.transaction(() => {
      const chain: SnapshotRecord[] = [];
      for (let next = this.get(namespace, key).parent; next !== ""; next = chain.at(-1)?.parent ?? "") {
        chain.push(this.get(namespace, next));
      }
      return chain;
    });
  }

  /** An id for a directory. Outside of a transaction it is never given again, whatever becomes of the directory. */
  reserveId(): string {
    return String(nextValue(this.#database, `snapshots/${this.snapshotter}`));
  }

  /**
   * Put a snapshot on record whose directory has that id. Throws AlreadyExists for a taken key, NotFound for an unknown parent,
   * InvalidArgument for a parent that is not committed.
   */
  create(namespace: string, id: string, snapshot: NewSnapshot): SnapshotRecord {
    return this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      if (this.find(namespace, snapshot.key) !== undefined) throw alreadyExists(snapshot.key);
      this.requireParent(namespace, snapshot.parent);
      const record = { ...snapshot, id, updatedAtNs: snapshot.createdAtNs, usage: undefined };
      this.#insert(namespace, record);
      return record;
    });
  }

  /** What `create` would say of a parent. An empty one is good. */
  requireParent(namespace: string, parent: string): void {
    if (parent === "") return;
    const record = this.find(namespace, parent);
    if (record === undefined) {
      throw new ManagerError(Code.NotFound, `parent snapshot ${parent} does not exist: not found`);
    }
    if (record.kind === "committed") return;
    throw new ManagerError(Code.InvalidArgument, `parent ${JSON.stringify(parent)}: is ${record.kind}, not committed`);
  }

  /** Throws NotFound for an unknown key, FailedPrecondition for one that is not active, AlreadyExists for a taken name. */
  commit(namespace: string, key: string, { name, labels, usage, committedAtNs }: CommitSnapshot): SnapshotRecord {
    return this.#database.transaction(() => {
      const active = this.get(namespace, key);
      if (active.kind !== "active") {
        throw new ManagerError(
          Code.FailedPrecondition,
          `snapshot ${JSON.stringify(key)}: is ${active.kind}, not active`,
        );
      }
      if (this.find(namespace, name) !== undefined) throw alreadyExists(name);
      const times = { createdAtNs: committedAtNs, updatedAtNs: committedAtNs };
      const record = { ...active, key: name, kind: "committed", labels, usage, ...times } as const;
      this.#delete(namespace, key);
      this.#insert(namespace, record);
      return record;
    });
  }

  /** Throws NotFound. */
  setLabels(namespace: string, key: string, labels: Labels, updatedAtNs: bigint): void {
    const sql = "update snapshots set labels = ?, updated_at = ? where namespace = ? and snapshotter = ? and key = ?";
    const changes = this.#database.run(sql, encodeLabels(labels), updatedAtNs, namespace, this.snapshotter, key);
    if (changes === 0) throw notFound(key);
  }

  /** What was on record; its directory is garbage now. Throws NotFound, FailedPrecondition if it has children. */
  remove(namespace: string, key: string): SnapshotRecord {
    return this.#database.transaction(() => {
      const record = this.get(namespace, key);
      const sql = "select 1 from snapshots where namespace = ? and snapshotter = ? and parent = ? limit 1";
      if (this.#database.get(sql, namespace, this.snapshotter, key) !== undefined) {
        throw new ManagerError(Code.FailedPrecondition, "cannot remove snapshot with child");
      }
      this.#delete(namespace, key);
      return record;
    });
  }

  #insert(namespace: string, { key, id, kind, parent, labels, createdAtNs, updatedAtNs, usage }: SnapshotRecord): void {
    const numbers = [usage?.sizeBytes ?? null, usage?.inodes ?? null] as const;
    this.#database.run(
      "insert into snapshots values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
      ...[namespace, this.snapshotter, key, BigInt(id), kind, parent],
      ...[encodeLabels(labels), createdAtNs, updatedAtNs, ...numbers],
    );
  }

  #delete(namespace: string, key: string): void {
    const sql = "delete from snapshots where namespace = ? and snapshotter = ? and key = ?";
    this.#database.run(sql, namespace, this.snapshotter, key);
  }
}

function kindOf(row: Row): SnapshotKind {
  const kind = textOf(row, "kind");
  if (kind === "active" || kind === "view" || kind === "committed") return kind;
  throw new TypeError(`kind: ${kind}`);
}

function toRecord(row: Row): SnapshotRecord {
  const usage = row.size === null ? undefined : { sizeBytes: integerOf(row, "size"), inodes: integerOf(row, "inodes") };
  return {
    key: textOf(row, "key"),
    id: String(integerOf(row, "id")),
    kind: kindOf(row),
    parent: textOf(row, "parent"),
    labels: labelsOf(row),
    createdAtNs: integerOf(row, "created_at"),
    updatedAtNs: integerOf(row, "updated_at"),
    usage,
  };
}

function alreadyExists(key: string): ManagerError {
  return new ManagerError(Code.AlreadyExists, `snapshot ${JSON.stringify(key)}: already exists`);
}

function notFound(key: string): ManagerError {
  return new ManagerError(Code.NotFound, `snapshot ${key} does not exist: not found`);
}
