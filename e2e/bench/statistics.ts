/** Durations or sizes of one step, in one unit. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
}

/** Median, 99th percentile (nearest rank), extremes. Throws if there are no samples. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  const rank = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)];
  const [p50, p99, min, max] = [rank(0.5), rank(0.99), sorted[0], sorted.at(-1)];
  if (p50 === undefined || p99 === undefined || min === undefined || max === undefined) throw new Error("no samples");
  return { count: sorted.length, p50, p99, min, max };
}

/** How many times as much the rival needs: median of the pairs' ratios, with quartiles as the spread. Above 1 we are better. */
export interface Ratio {
  readonly median: number;
  readonly lower: number;
  readonly upper: number;
}

/** Ratios of samples that were taken in turn, pair by pair. */
export function ratioOf(ours: readonly number[], rival: readonly number[]): Ratio {
  const ratios = ours.flatMap((value, at) => {
    const other = rival[at];
    return other === undefined || value === 0 ? [] : [other / value];
  });
  const sorted = ratios.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
  return { median: at(0.5), lower: at(0.25), upper: at(0.75) };
}

/** Three significant digits. */
export function short(value: number): string {
  return Number.isFinite(value) ? String(Number(value.toPrecision(3))) : "-";
}
