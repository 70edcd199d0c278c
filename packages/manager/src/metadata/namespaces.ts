import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Database } from "./database.ts";
import { encodeLabels, type Labels, labelsOf } from "./labels.ts";
import { integerOf, textOf } from "./row.ts";

/** A namespace. */
export interface NamespaceRecord {
  readonly name: string;
  readonly labels: Labels;
}

/** See to it that a namespace is on record: whatever writes an object calls this first, in the same transaction. */
export function ensureNamespace(database: Database, name: string): void {
  database.run("insert into namespaces values (?, '{}') on conflict do nothing", name);
}

/** Namespaces on record. */
export class NamespaceRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  get(name: string): NamespaceRecord | undefined {
    const row = this.#database.get("select labels from namespaces where name = ?", name);
    return row && { name, labels: labelsOf(row) };
  }

  list(): NamespaceRecord[] {
    const rows = this.#database.all("select * from namespaces order by name");
    return rows.map((row) => ({ name: textOf(row, "name"), labels: labelsOf(row) }));
  }

  /** Throws AlreadyExists. */
  create({ name, labels }: NamespaceRecord): void {
    const sql = "insert into namespaces values (?, ?) on conflict do nothing";
    if (this.#database.run(sql, name, encodeLabels(labels)) === 1) return;
    throw new ManagerError(Code.AlreadyExists, `namespace ${JSON.stringify(name)}: already exists`);
  }

  /** Set the labels, of a new namespace too. */
  put({ name, labels }: NamespaceRecord): void {
    const sql = "insert into namespaces values (?, ?) on conflict (name) do update set labels = excluded.labels";
    this.#database.run(sql, name, encodeLabels(labels));
  }

  /** Throws NotFound, and FailedPrecondition with the kinds of objects that are left; leases do not count and go with it. */
  delete(name: string): void {
    this.#database.transaction(() => {
      const quoted = JSON.stringify(name);
      if (this.get(name) === undefined) throw new ManagerError(Code.NotFound, `namespace ${quoted}: not found`);
      const left = this.#contents(name);
      if (left.length > 0) {
        const message = `namespace ${quoted} must be empty, but it still has ${left.join(", ")}`;
        throw new ManagerError(Code.FailedPrecondition, message);
      }
      this.#database.run("delete from leases where namespace = ?", name);
      this.#database.run("delete from ingests where namespace = ?", name);
      this.#database.run("delete from namespaces where name = ?", name);
    });
  }

  #contents(name: string): string[] {
    const has = (table: string) => {
      const row = this.#database.get(`select exists (select 1 from ${table} where namespace = ?) as found`, name);
      return row !== undefined && integerOf(row, "found") === 1n;
    };
    const snapshotters = this.#database.all(
      "select distinct snapshotter from snapshots where namespace = ? order by snapshotter",
      name,
    );
    return [
      ...["images", "blobs", "containers", "sandboxes"].filter(has),
      ...snapshotters.map((row) => `snapshots on ${JSON.stringify(textOf(row, "snapshotter"))} snapshotter`),
    ];
  }
}
