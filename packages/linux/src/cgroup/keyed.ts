/** Lines `key number`, as memory.stat has them. Undefined text is empty; lines of another form are left out. */
export function readKeyed(text: string | undefined): Map<string, bigint> {
  const values = new Map<string, bigint>();
  for (const line of (text ?? "").split("\n")) {
    const space = line.indexOf(" ");
    const value = toCount(line.slice(space + 1));
    if (space > 0 && value !== undefined) values.set(line.slice(0, space), value);
  }
  return values;
}

/** A count of digits only, else undefined. */
export function toCount(text: string): bigint | undefined {
  return /^[0-9]+$/.test(text) ? BigInt(text) : undefined;
}

/** Counts by our names from a file's keys: `table` maps ours to the file's. What the file lacks is 0. */
export function pickCounts<Key extends string>(
  table: Readonly<Record<Key, string>>,
  values: ReadonlyMap<string, bigint>,
): Readonly<Record<Key, bigint>> {
  const entries = Object.entries<string>(table).map(([ours, theirs]) => [ours, values.get(theirs) ?? 0n]);
  return Object.fromEntries(entries) as Record<Key, bigint>;
}
