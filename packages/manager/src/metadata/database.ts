import { closeSync, mkdirSync, openSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import { toStorageError } from "../content/storage-error.ts";
import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";
import { toDatabaseError } from "./database-error.ts";
import type { Row } from "./row.ts";
import { migrate } from "./schema.ts";

/**
 * The one database of a daemon: SQLite with a write-ahead log that is synced at every commit, so what a call was answered
 * survives kill -9 and power loss. Synchronous, one connection, one process. Integers come and go as bigint. Every method throws
 * ResourceExhausted when the disk is full, Unavailable when it fails otherwise, and has changed nothing then.
 */
export class Database implements Disposable {
  readonly #path: string;
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  private constructor(path: string, sqlite: DatabaseSync) {
    this.#path = path;
    this.#sqlite = sqlite;
  }

  /**
   * Open or make the file (0600, its directory 0700) and bring its schema up to date. Throws FailedPrecondition for the file of a
   * newer version, DataLoss for one that is no database of ours, ResourceExhausted on a full disk.
   */
  static open(path: string): Database {
    try {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      closeSync(openSync(path, "a", 0o600)); // SQLite's own files take their mode from this one
    } catch (error) {
      throw toStorageError(path, error);
    }
    const sqlite = new DatabaseSync(path, { enableForeignKeyConstraints: true, timeout: 5000 });
    try {
      sqlite.exec("pragma journal_mode = wal; pragma synchronous = full");
      migrate(sqlite, path);
      return new Database(path, sqlite);
    } catch (error) {
      sqlite.close();
      const told = toDatabaseError(path, error);
      if (told instanceof ManagerError) throw told;
      throw new ManagerError(Code.DataLoss, `${path}: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * All or nothing: a throw undoes what the body did. A transaction inside of another joins it. The body must not wait: what it
   * awaits would happen outside.
   */
  transaction<T>(body: () => T extends PromiseLike<unknown> ? never : T): T {
    if (this.#depth > 0) return body();
    this.#told(() => this.#sqlite.exec("begin immediate"));
    this.#depth++;
    try {
      const result = body();
      this.#told(() => this.#sqlite.exec("commit"));
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    } finally {
      this.#depth--;
    }
  }

  /** The first row, if there is one. */
  get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#told(() => this.#statement(sql).get(...values));
  }

  /** All rows. */
  all(sql: string, ...values: SQLInputValue[]): Row[] {
    return this.#told(() => this.#statement(sql).all(...values));
  }

  /** Change something; the number of rows that it changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return this.#told(() => Number(this.#statement(sql).run(...values).changes));
  }

  /** Twice is harmless. */
  [Symbol.dispose](): void {
    this.#statements.clear();
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  /** SQLite has done it by itself after some errors. If it fails, the next transaction does it: the first error is the one to tell. */
  #rollBack(): void {
    try {
      if (this.#sqlite.isTransaction) this.#sqlite.exec("rollback");
    } catch {
      // nothing of it was committed, whatever happens now
    }
  }

  #told<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw toDatabaseError(this.#path, error);
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#sqlite.prepare(sql);
      statement.setReadBigInts(true);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}
