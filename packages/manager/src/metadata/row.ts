import type { SQLOutputValue } from "node:sqlite";

/** One row of an answer, by column. */
export type Row = Readonly<Record<string, SQLOutputValue>>;

/** A text column; NULL is an error. */
export function textOf(row: Row, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw new TypeError(`${column}: ${typeof value} instead of text`);
}

/** An integer column; NULL is an error. */
export function integerOf(row: Row, column: string): bigint {
  const value = row[column];
  if (typeof value === "bigint") return value;
  throw new TypeError(`${column}: ${typeof value} instead of an integer`);
}

/** A blob column; NULL is an error. */
export function bytesOf(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (value instanceof Uint8Array) return value;
  throw new TypeError(`${column}: ${typeof value} instead of a blob`);
}
