import type { CliContext } from "../cli-context.ts";
import { table } from "./table.ts";

/** How a listing is to look. */
export interface ListFlags {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** What a listing shows of its items. */
export interface ListShape<Item> {
  readonly head: readonly string[];
  readonly row: (item: Item) => readonly string[];
  /** The one word of `-q`. */
  readonly name: (item: Item) => string;
  /** One object; its keys are stable. */
  readonly json: (item: Item) => object;
  /** Said on stderr if there is nothing to show: what was left out, and how to see it. */
  readonly empty: string | undefined;
}

/** Write a table, or one name or JSON object per line. */
export function writeList<Item>(
  { process: { stdout, stderr } }: CliContext,
  { json, quiet }: ListFlags,
  items: readonly Item[],
  shape: ListShape<Item>,
): void {
  if (json) for (const item of items) stdout.write(`${JSON.stringify(shape.json(item), plainNumbers)}\n`);
  else if (quiet) for (const item of items) stdout.write(`${shape.name(item)}\n`);
  else stdout.write(table(shape.head, items.map(shape.row)));
  if (items.length === 0 && shape.empty !== undefined && !json && !quiet) stderr.write(`${shape.empty}\n`);
}

/** Counters come as bigint, which JSON does not know. */
export function plainNumbers(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? Number(value) : value;
}
