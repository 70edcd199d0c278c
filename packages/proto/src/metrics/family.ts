/** Label names and values. Values come from closed sets, or from what the operator has set up: never from a container. */
export type Labels = Readonly<Record<string, string>>;

/** One number, or one histogram: `counts[i]` observations up to `bounds[i]`, not cumulative; the last one is for those above. */
export type Sample =
  | { readonly labels: Labels; readonly value: number }
  | {
      readonly labels: Labels;
      readonly bounds: readonly number[];
      readonly counts: readonly number[];
      readonly sum: number;
    };

/** What Prometheus calls a metric family: all samples of one name. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly samples: readonly Sample[];
}

const NAME = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

/** Read families that another process has written, as JSON. Throws TypeError for what is not made of families. */
export function parseFamilies(value: unknown): MetricFamily[] {
  if (!Array.isArray(value) || !value.every(isFamily)) throw new TypeError("not a list of metric families");
  return value;
}

function isFamily(value: unknown): value is MetricFamily {
  if (typeof value !== "object" || value === null) return false;
  const { name, help, type, samples } = value as Record<string, unknown>;
  if (typeof name !== "string" || !NAME.test(name) || typeof help !== "string" || !Array.isArray(samples)) return false;
  if (type === "histogram") return samples.every((sample) => isSample(sample) && "counts" in sample);
  return (type === "counter" || type === "gauge") && samples.every((sample) => isSample(sample) && "value" in sample);
}

function isSample(value: unknown): value is Sample {
  if (typeof value !== "object" || value === null) return false;
  const { labels, value: number, bounds, counts, sum } = value as Record<string, unknown>;
  if (!isLabels(labels)) return false;
  if (counts === undefined) return Number.isFinite(number);
  return isNumbers(bounds) && isNumbers(counts) && counts.length === bounds.length + 1 && Number.isFinite(sum);
}

/** Names are Prometheus's; `le` is what it calls a bucket. */
export function isLabels(value: unknown): value is Labels {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).every(([name, text]) => NAME.test(name) && name !== "le" && typeof text === "string");
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => Number.isFinite(item));
}
