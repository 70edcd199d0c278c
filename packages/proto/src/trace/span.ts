/**
 * Something that took time: one phase of a start, in one of the processes that took part. All processes of a host measure with
 * CLOCK_MONOTONIC, so their spans fit together to the microsecond. The one data model of `--trace`, the web page and OTLP.
 */
export interface Span {
  /** 32 hexadecimal digits, the same for all spans of a start; W3C Trace Context. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  /** The span that it is a part of; none: the whole. */
  readonly parentId?: string;
  /** What it is: "create", "launch", "mounts". */
  readonly name: string;
  /** Who did it: "command", "daemon", "task server", "container". */
  readonly process: string;
  /** CLOCK_MONOTONIC, nanoseconds. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes?: SpanAttributes;
  /** Why it failed. */
  readonly error?: string;
}

/** Further facts of a span. `cpu_us`: microseconds of its time in which the process ran; for launch steps nearly all of it in the kernel. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>;

/** Spans of one or more processes, with what turns their times into unix time: CLOCK_REALTIME - CLOCK_MONOTONIC. */
export interface SpanDocument {
  readonly unixOffsetNs: bigint;
  readonly spans: readonly Span[];
}

/**
 * The JSON form: `{"unixOffsetNs":"1795…","spans":[{"traceId":…,"spanId":…,"parentId":…,"name":…,"process":…,"startNs":"123…","endNs":"123…",
 * "attributes":{…},"error":…}]}`. Times are decimal texts: they do not fit into a JSON number.
 */
export function encodeSpans(document: SpanDocument): string {
  return JSON.stringify(document, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

/** Throws SyntaxError for what is no such document. */
export function parseSpans(text: string): SpanDocument {
  const { unixOffsetNs, spans } = (JSON.parse(text) ?? {}) as { unixOffsetNs?: unknown; spans?: unknown };
  if (!Array.isArray(spans)) throw new SyntaxError("spans: missing");
  return { unixOffsetNs: toNs(unixOffsetNs), spans: spans.map(parseSpan) };
}

function parseSpan(value: unknown): Span {
  const { startNs, endNs, ...rest } = (value ?? {}) as Record<string, unknown>;
  for (const key of ["traceId", "spanId", "name", "process"])
    if (typeof rest[key] !== "string") throw new SyntaxError(`span: ${key} is missing`);
  return { ...rest, startNs: toNs(startNs), endNs: toNs(endNs) } as unknown as Span;
}

function toNs(value: unknown): bigint {
  if (typeof value === "string" && /^-?[0-9]+$/.test(value)) return BigInt(value);
  throw new SyntaxError(`span: ${JSON.stringify(value)} is no time`);
}
