import { containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Database } from "./database.ts";
import { ensureNamespace } from "./namespaces.ts";
import { bytesOf, type Row } from "./row.ts";

/** A container on record: the message as clients see it, times included. */
export type ContainerRecord = containerd.services.containers.v1.Container;

const { Container } = containerd.services.containers.v1;

/** Containers on record, by namespace and id. */
export class ContainerRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Throws NotFound. */
  get(namespace: string, id: string): ContainerRecord {
    const row = this.#database.get("select container from containers where namespace = ? and id = ?", namespace, id);
    if (row === undefined) throw notFound(namespace, id);
    return toRecord(row);
  }

  list(namespace: string): ContainerRecord[] {
    return this.listEncoded(namespace).map((bytes) => Container.decode(bytes));
  }

  /** The same, as they are stored: encoded. A thousand of them have megabytes. */
  listEncoded(namespace: string): Uint8Array[] {
    const rows = this.#database.all("select container from containers where namespace = ? order by id", namespace);
    return rows.map((row) => bytesOf(row, "container"));
  }

  /** Throws AlreadyExists. */
  create(namespace: string, record: ContainerRecord): void {
    this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const sql = "insert into containers values (?, ?, ?) on conflict do nothing";
      if (this.#database.run(sql, namespace, record.id, Container.encode(record)) === 1) return;
      throw new ManagerError(Code.AlreadyExists, `container ${JSON.stringify(record.id)}: already exists`);
    });
  }

  /** Throws NotFound. */
  replace(namespace: string, record: ContainerRecord): void {
    const sql = "update containers set container = ? where namespace = ? and id = ?";
    if (this.#database.run(sql, Container.encode(record), namespace, record.id) === 0) {
      throw notFound(namespace, record.id);
    }
  }

  /** Throws NotFound. */
  delete(namespace: string, id: string): void {
    const sql = "delete from containers where namespace = ? and id = ?";
    if (this.#database.run(sql, namespace, id) === 0) throw notFound(namespace, id);
  }
}

function toRecord(row: Row): ContainerRecord {
  return Container.decode(bytesOf(row, "container"));
}

function notFound(namespace: string, id: string): ManagerError {
  const message = `container ${JSON.stringify(id)} in namespace ${JSON.stringify(namespace)}: not found`;
  return new ManagerError(Code.NotFound, message);
}
