import { isLabels, type Labels, type MetricFamily, parseFamilies } from "./family.ts";

/** Names in a directory of a task server or daemon: a socket that tells whoever connects, and what is known while nobody listens. */
export const METRICS_SOCKET = "metrics.sock";
export const METRICS_FILE = "metrics.json";

/** What one process tells of itself, as JSON. */
export interface MetricsReport {
  /** Which process it is. */
  readonly labels: Labels;
  readonly families: readonly MetricFamily[];
}

/** Throws SyntaxError or TypeError. */
export function parseMetricsReport(text: string): MetricsReport {
  const value: unknown = JSON.parse(text);
  const { labels, families } = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  if (!isLabels(labels)) throw new TypeError("labels: not an object of texts");
  return { labels, families: parseFamilies(families) };
}
