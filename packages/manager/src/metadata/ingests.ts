import { type Digest, parseDigest } from "../content/digest.ts";
import { nextValue } from "./counter.ts";
import type { Database } from "./database.ts";
import { ensureNamespace } from "./namespaces.ts";
import { integerOf, type Row, textOf } from "./row.ts";

/** An ingest on record: a blob on its way in. */
export interface IngestRecord {
  readonly ref: string;
  /** `<namespace>/<sequence>/<ref>`: unique among all namespaces and for all time; names the files. */
  readonly backendRef: string;
  readonly expected: Digest | undefined;
  readonly startedAtNs: bigint;
  /** Without one it lives as long as a lease holds it. */
  readonly expiresAtNs: bigint | undefined;
}

/** Ingests on record, by namespace and ref. */
export class IngestRecords {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  find(namespace: string, ref: string): IngestRecord | undefined {
    const row = this.#database.get("select * from ingests where namespace = ? and ref = ?", namespace, ref);
    return row && toRecord(row);
  }

  /** In bytewise order of refs. */
  list(namespace: string): IngestRecord[] {
    return this.#database.all("select * from ingests where namespace = ? order by ref", namespace).map(toRecord);
  }

  /** Backend refs of every namespace: files of all others are garbage. */
  backendRefs(): string[] {
    return this.#database.all("select backend_ref from ingests").map((row) => textOf(row, "backend_ref"));
  }

  /** Whether any ingest shall become that blob. */
  isExpected(digest: string): boolean {
    return this.#database.get("select 1 from ingests where expected = ? limit 1", digest) !== undefined;
  }

  /** The one with that ref, which gets what is given here; or a new one, with a backend ref of its own. */
  put(namespace: string, ingest: Omit<IngestRecord, "backendRef">): IngestRecord {
    const { ref, expected, startedAtNs, expiresAtNs } = ingest;
    return this.#database.transaction(() => {
      ensureNamespace(this.#database, namespace);
      const known = this.find(namespace, ref);
      if (known !== undefined) {
        const sql = "update ingests set expected = ?, expires_at = ? where namespace = ? and ref = ?";
        this.#database.run(sql, expected ?? null, expiresAtNs ?? null, namespace, ref);
        return { ...known, expected, expiresAtNs };
      }
      const backendRef = `${namespace}/${nextValue(this.#database, "ingests")}/${ref}`;
      const values = [namespace, ref, backendRef, expected ?? null, startedAtNs, expiresAtNs ?? null] as const;
      this.#database.run("insert into ingests values (?, ?, ?, ?, ?, ?)", ...values);
      return { ...ingest, backendRef };
    });
  }

  /** What was on record, if anything. */
  delete(namespace: string, ref: string): IngestRecord | undefined {
    const sql = "delete from ingests where namespace = ? and ref = ? returning *";
    const row = this.#database.get(sql, namespace, ref);
    return row && toRecord(row);
  }
}

function toRecord(row: Row): IngestRecord {
  return {
    ref: textOf(row, "ref"),
    backendRef: textOf(row, "backend_ref"),
    expected: row.expected === null ? undefined : parseDigest("expected", textOf(row, "expected")),
    startedAtNs: integerOf(row, "started_at"),
    expiresAtNs: row.expires_at === null ? undefined : integerOf(row, "expires_at"),
  };
}
