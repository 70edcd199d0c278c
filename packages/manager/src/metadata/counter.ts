import type { Database } from "./database.ts";
import { integerOf } from "./row.ts";

/** The next value of a counter, from 1; no value comes twice. In the caller's transaction, if there is one. */
export function nextValue(database: Database, name: string): bigint {
  const sql = "insert into counters values (?, 1) on conflict (name) do update set value = value + 1 returning value";
  const row = database.get(sql, name);
  if (row === undefined) throw new Error(`counter ${name} has no value`);
  return integerOf(row, "value");
}
