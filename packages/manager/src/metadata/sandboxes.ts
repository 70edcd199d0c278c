import { containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Database } from "./database.ts";
import { ensureNamespace } from "./namespaces.ts";
import { bytesOf } from "./row.ts";

/** A sandbox on record: the message as clients see it, times included. Whether it runs is its shim's affair. */
export type SandboxRecord = containerd.types.Sandbox;

const { Sandbox } = containerd.types;

/** Sandboxes on record, by namespace and id. */
export class SandboxRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(namespace: string, id: string): SandboxRecord | undefined {
    const row = this.#database.get("select sandbox from sandboxes where namespace = ? and id = ?", namespace, id);
    return row && Sandbox.decode(bytesOf(row, "sandbox"));
  }

  /** Throws NotFound. */
  get(namespace: string, id: string): SandboxRecord {
    const record = this.find(namespace, id);
    if (record === undefined) throw sandboxNotFound(namespace, id);
    return record;
  }

  list(namespace: string): SandboxRecord[] {
    const rows = this.#database.all("select sandbox from sandboxes where namespace = ? order by id", namespace);
    return rows.map((row) => Sandbox.decode(bytesOf(row, "sandbox")));
  }

  /** Throws AlreadyExists. */
  create(namespace: string, record: SandboxRecord): void {
    this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const sql = "insert into sandboxes values (?, ?, ?) on conflict do nothing";
      if (this.#database.run(sql, namespace, record.sandboxId, Sandbox.encode(record)) === 1) return;
      throw new ManagerError(Code.AlreadyExists, `sandbox ${JSON.stringify(record.sandboxId)}: already exists`);
    });
  }

  /** Throws NotFound. */
  replace(namespace: string, record: SandboxRecord): void {
    const sql = "update sandboxes set sandbox = ? where namespace = ? and id = ?";
    if (this.#database.run(sql, Sandbox.encode(record), namespace, record.sandboxId) === 0) {
      throw sandboxNotFound(namespace, record.sandboxId);
    }
  }

  /** Throws NotFound. */
  delete(namespace: string, id: string): void {
    const sql = "delete from sandboxes where namespace = ? and id = ?";
    if (this.#database.run(sql, namespace, id) === 0) throw sandboxNotFound(namespace, id);
  }
}

/** Neither on record nor running. */
export function sandboxNotFound(namespace: string, id: string): ManagerError {
  const message = `sandbox ${JSON.stringify(id)} in namespace ${JSON.stringify(namespace)}: not found`;
  return new ManagerError(Code.NotFound, message);
}
