import { Code, ManagerError } from "../errors/manager-error.ts";
import type { ServiceCall } from "../grpc/service-call.ts";
import type { Database } from "./database.ts";
import { encodeLabels, type Labels, labelsOf } from "./labels.ts";
import { ensureNamespace } from "./namespaces.ts";
import { integerOf, type Row, textOf } from "./row.ts";

/** A lease on record. */
export interface LeaseRecord {
  readonly id: string;
  readonly labels: Labels;
  readonly createdAtNs: bigint;
}

/** What a lease holds. `type` is `content`, `ingests`, `images` or `snapshots/<snapshotter>`. It need not exist. */
export interface LeaseResource {
  readonly type: string;
  readonly id: string;
}

/**
 * Let what a call creates or meets join the call's lease, if it carries one; in the transaction that creates it. Throws NotFound
 * for an unknown lease, and FailedPrecondition for a call without namespace.
 */
export function leaseResource(
  database: Database,
  call: Pick<ServiceCall, "namespace" | "lease">,
  type: string,
  id: string,
): void {
  if (call.lease === undefined) return;
  if (call.namespace === undefined) throw new ManagerError(Code.FailedPrecondition, "namespace is required");
  new LeaseRecords(database).addResource(call.namespace, call.lease, { type, id });
}

/** Leases on record, by namespace and id, and what they hold. */
export class LeaseRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  list(namespace: string): LeaseRecord[] {
    return this.#database.all("select * from leases where namespace = ? order by id", namespace).map(toRecord);
  }

  /** Throws AlreadyExists. */
  create(namespace: string, { id, labels, createdAtNs }: LeaseRecord): void {
    this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const sql = "insert into leases values (?, ?, ?, ?) on conflict do nothing";
      if (this.#database.run(sql, namespace, id, encodeLabels(labels), createdAtNs) === 1) return;
      throw new ManagerError(Code.AlreadyExists, `lease ${JSON.stringify(id)}: already exists`);
    });
  }

  /** Throws NotFound. */
  delete(namespace: string, id: string): void {
    if (this.#database.run("delete from leases where namespace = ? and id = ?", namespace, id) === 0) {
      throw notFound(id);
    }
  }

  /** In bytewise order of types, then ids. Throws NotFound. */
  resources(namespace: string, id: string): LeaseResource[] {
    this.#require(namespace, id);
    const sql = "select type, id from lease_resources where namespace = ? and lease = ? order by type, id";
    return this.#database.all(sql, namespace, id).map((row) => ({ type: textOf(row, "type"), id: textOf(row, "id") }));
  }

  /** Twice is harmless. Throws NotFound for an unknown lease. */
  addResource(namespace: string, id: string, resource: LeaseResource): void {
    this.#database.transaction(() => {
      this.#require(namespace, id);
      const sql = "insert into lease_resources values (?, ?, ?, ?) on conflict do nothing";
      this.#database.run(sql, namespace, id, resource.type, resource.id);
    });
  }

  /** What the lease does not hold is no error. Throws NotFound for an unknown lease. */
  deleteResource(namespace: string, id: string, resource: LeaseResource): void {
    this.#require(namespace, id);
    const sql = "delete from lease_resources where namespace = ? and lease = ? and type = ? and id = ?";
    this.#database.run(sql, namespace, id, resource.type, resource.id);
  }

  /** Take something from all leases of a namespace: it is gone, and what gets its name later is not theirs. */
  forget(namespace: string, { type, id }: LeaseResource): void {
    const sql = "delete from lease_resources where namespace = ? and type = ? and id = ?";
    this.#database.run(sql, namespace, type, id);
  }

  #require(namespace: string, id: string): void {
    const row = this.#database.get("select 1 from leases where namespace = ? and id = ?", namespace, id);
    if (row === undefined) throw notFound(id);
  }
}

function toRecord(row: Row): LeaseRecord {
  return { id: textOf(row, "id"), labels: labelsOf(row), createdAtNs: integerOf(row, "created_at") };
}

function notFound(id: string): ManagerError {
  return new ManagerError(Code.NotFound, `lease ${JSON.stringify(id)}: lease does not exist: not found`);
}
