const TIME = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)$/;
const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;

/** RFC 3339 in UTC, with as many digits of the nanoseconds as are needed: what Go's time.RFC3339Nano makes. */
export function formatRfc3339(ns: bigint): string {
  const nanos = ((ns % NS_PER_SECOND) + NS_PER_SECOND) % NS_PER_SECOND;
  const whole = new Date(Number((ns - nanos) / NS_PER_MS)).toISOString().slice(0, 19);
  const fraction = nanos.toString().padStart(9, "0").replace(/0+$/, "");
  return fraction === "" ? `${whole}Z` : `${whole}.${fraction}Z`;
}

/** Nanoseconds since 1970; undefined if the text is no RFC 3339 time. */
export function parseRfc3339(text: string): bigint | undefined {
  const [, date, time, fraction = "", zone] = TIME.exec(text) ?? [];
  if (date === undefined || time === undefined || zone === undefined) return undefined;
  const utcMs = Date.parse(`${date}T${time}Z`);
  const zoned = Date.parse(`${date}T${time}${zone}`);
  if (Number.isNaN(zoned) || new Date(utcMs).toISOString().slice(0, 10) !== date) return undefined;
  return BigInt(zoned) * NS_PER_MS + BigInt(fraction.padEnd(9, "0"));
}
