import { randomBytes } from "node:crypto";

/** Where a trace comes from: what crosses the wire with a call. */
export interface TraceContext {
  readonly traceId: string;
  /** The caller's span. */
  readonly spanId: string;
  /** Whether anybody wants it. */
  readonly sampled: boolean;
}

/** ttrpc and gRPC metadata, and (in capitals) the environment of a shim's `start`. Source: W3C Trace Context. */
export const TRACEPARENT = "traceparent";
/**
 * Ours, in the same places: a directory of the host into which every process that works for the call writes its spans, as
 * `PROCESS-SPANID.json` in the form of `encodeSpans`, before it answers. So `trimaran run --trace` gets them from all.
 */
export const TRACE_DIRECTORY = "trimaran-trace";
/** The environment's names of both. */
export const TRACE_ENVIRONMENT = { parent: "TRACEPARENT", directory: "TRIMARAN_TRACE" } as const;

/** Undefined for a text that is none: then there is no trace. */
export function parseTraceparent(text: string | undefined): TraceContext | undefined {
  const [, version, traceId = "", spanId = "", flags = ""] =
    /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/.exec(text ?? "") ?? [];
  if (version === undefined || version === "ff" || /^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function formatTraceparent({ traceId, spanId, sampled }: TraceContext): string {
  return `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`;
}

export function newTraceId(): string {
  return randomBytes(16).toString("hex");
}

export function newSpanId(): string {
  return randomBytes(8).toString("hex");
}
