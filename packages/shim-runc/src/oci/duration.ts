import { UsageError } from "./flags.ts";

const UNIT_MS: Readonly<Record<string, number>> = {
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
  us: 1e-3,
  µs: 1e-3,
  ns: 1e-6,
};
/** What a timer can wait. */
const MOST_MS = 2 ** 31 - 1;

/** A span of time as runc's flags have it, `1m30s` or `500ms`, in ms; more than nothing, at most 24 days. Throws UsageError. */
export function parseDuration(flag: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(h|ms|us|µs|ns|m|s)/g)];
  const total = parts.reduce((sum, [, number = "", unit = ""]) => sum + Number(number) * (UNIT_MS[unit] ?? 0), 0);
  if (parts.map(([part]) => part).join("") !== text || !(total > 0) || total > MOST_MS)
    throw new UsageError(`--${flag} ${JSON.stringify(text)}: not a span of time such as 500ms or 1m30s`);
  return total;
}
