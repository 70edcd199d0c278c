import type { CgroupStats } from "@trimaran/linux";

/** Counters in runc's `events --stats` form: a JSON object with numbers, those of the kernel's files. What does not exist is left out. */
export function toStatsEvent(id: string, { metrics }: CgroupStats): unknown {
  return { type: "stats", id, data: plain(metrics) };
}

/** u64 as numbers: exact up to 2⁵³, as every reader of JSON has them. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, plain(child)]));
}
