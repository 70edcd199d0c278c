const UNITS = [
  ["year", 365 * 86_400_000],
  ["month", 30 * 86_400_000],
  ["week", 7 * 86_400_000],
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1000],
] as const;

/** `3 hours ago`: the largest unit of which there is a whole one. */
export function formatAge(ageMs: number): string {
  for (const [unit, lengthMs] of UNITS) {
    const count = Math.floor(ageMs / lengthMs);
    if (count >= 1) return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
  }
  return "just now";
}
