import type { Span } from "@trimaran/manager/trace";

/** One line of a waterfall. */
export interface WaterfallRow {
  readonly name: string;
  readonly process: string;
  /** 0 for the whole. */
  readonly depth: number;
  /** Since the beginning of the whole. */
  readonly startMs: number;
  readonly durationMs: number;
  /** Of its time, what the process ran. */
  readonly cpuMs: number | undefined;
  readonly error: string | undefined;
}

const NS_PER_MS = 1e6;

/**
 * Spans as rows: a parent before its parts, those in the order in which they began. What began after the end of the whole is no part of it.
 * A span whose parent is missing counts as a part of the whole.
 */
export function toWaterfall(spans: readonly Span[]): WaterfallRow[] {
  const root = spans.find(({ parentId }) => parentId === undefined);
  if (root === undefined) return [];
  const known = new Set(spans.map(({ spanId }) => spanId));
  const parts = Map.groupBy(
    spans.filter((span) => span !== root && span.startNs < root.endNs),
    ({ parentId }) => (parentId !== undefined && known.has(parentId) ? parentId : root.spanId),
  );
  const rows: WaterfallRow[] = [];
  const seen = new Set<string>();
  const visit = (span: Span, depth: number): void => {
    if (seen.has(span.spanId)) return; // parents in a circle: somebody's file is wrong
    seen.add(span.spanId);
    rows.push(toRow(span, root, depth));
    for (const part of (parts.get(span.spanId) ?? []).toSorted(byStart)) visit(part, depth + 1);
  };
  visit(root, 0);
  return rows;
}

function toRow(span: Span, root: Span, depth: number): WaterfallRow {
  const { name, process, startNs, endNs, attributes, error } = span;
  const cpu = attributes?.cpu_us;
  return {
    name,
    process,
    depth,
    startMs: Number(startNs - root.startNs) / NS_PER_MS,
    durationMs: Number(endNs - startNs) / NS_PER_MS,
    cpuMs: typeof cpu === "number" ? cpu / 1000 : undefined,
    error,
  };
}

function byStart(a: Span, b: Span): number {
  return a.startNs < b.startNs ? -1 : a.startNs > b.startNs ? 1 : 0;
}
