import { newTraceId, parseTraceparent, TRACE_DIRECTORY, TRACEPARENT } from "./context.ts";
import type { OtlpExporter } from "./exporter.ts";
import { inSpan, SpanRecorder } from "./recorder.ts";
import type { SpanAttributes } from "./span.ts";

/** What a call says of its trace. */
export interface CallTrace {
  readonly traceparent: string | undefined;
  /** See TRACE_DIRECTORY. */
  readonly directory: string | undefined;
}

/** A call, what it says of its trace, and who wants the spans. */
export interface TracedCall extends CallTrace {
  readonly name: string;
  /** Who serves it: `Span.process`. */
  readonly process: string;
  readonly exporter: OtlpExporter | undefined;
  /** Whether it is worth a trace of its own, where the caller has none. */
  readonly canBegin: boolean;
  readonly attributes?: SpanAttributes;
  /** Called first, where it is traced: for spans of what came before the call, beside its own. */
  readonly before?: () => void;
}

/** From metadata, its keys in lower case. */
export function callTrace(first: (key: string) => string | undefined): CallTrace {
  return { traceparent: first(TRACEPARENT), directory: first(TRACE_DIRECTORY) };
}

/**
 * Do the work of a call, as a span where somebody wants it: the caller, by a directory; a collector, by an exporter, unless the caller's own
 * trace is not sampled. The spans are handed over before the answer.
 */
export function traceCall<T>(call: TracedCall, work: () => T): T {
  const { name, exporter, canBegin, attributes } = call;
  const parent = parseTraceparent(call.traceparent);
  const directory = parent && call.directory?.startsWith("/") ? call.directory : undefined;
  const isExported = exporter !== undefined && (parent?.sampled ?? canBegin);
  if (directory === undefined && !isExported) return work();
  const recorder = new SpanRecorder({ traceId: parent?.traceId ?? newTraceId(), process: call.process, directory });
  const handOver = () => {
    recorder.write();
    if (isExported) exporter.add(recorder.spans);
  };
  return recorder.run(parent?.spanId, () => {
    call.before?.();
    return whenDone(() => inSpan(name, work, attributes), handOver);
  });
}

/** Do the work, then `last`, whether it fails or not; at once where it is no promise. */
function whenDone<T>(work: () => T, last: () => void): T {
  let result: T;
  try {
    result = work();
  } catch (error) {
    last();
    throw error;
  }
  if (result instanceof Promise) return result.finally(last) as T;
  last();
  return result;
}
