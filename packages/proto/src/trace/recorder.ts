import { AsyncLocalStorage } from "node:async_hooks";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { monotonicNs, unixOffsetNs } from "./clock.ts";
import { formatTraceparent, newSpanId, TRACE_DIRECTORY, TRACEPARENT, type TraceContext } from "./context.ts";
import { encodeSpans, type Span, type SpanAttributes } from "./span.ts";

/** A trace cannot grow without bound: what comes after that is dropped. */
const SPAN_LIMIT = 4096;

/** Where the work of the moment belongs. */
interface Active {
  readonly recorder: SpanRecorder;
  /** None: the trace begins here. */
  readonly spanId: string | undefined;
}

const active = new AsyncLocalStorage<Active>();

/** The spans of one trace in one process. */
export class SpanRecorder {
  readonly traceId: string;
  readonly spans: Span[] = [];
  readonly #process: string;
  /** See TRACE_DIRECTORY; undefined: nobody collects files. */
  readonly directory: string | undefined;

  constructor(options: {
    readonly traceId: string;
    readonly process: string;
    readonly directory?: string | undefined;
  }) {
    this.traceId = options.traceId;
    this.#process = options.process;
    this.directory = options.directory;
  }

  /** Do the work as a part of the span `parentId`, or as the trace itself: what `inSpan` measures meanwhile, whoever calls it, comes here. */
  run<T>(parentId: string | undefined, work: () => T): T {
    return active.run({ recorder: this, spanId: parentId }, work);
  }

  add(span: Omit<Span, "traceId" | "process"> & { readonly process?: string }): void {
    if (this.spans.length < SPAN_LIMIT) this.spans.push({ traceId: this.traceId, process: this.#process, ...span });
  }

  /** Hand them to whoever collects in the directory. What goes wrong is nobody's problem but the collector's. */
  write(): void {
    const [first] = this.spans;
    if (this.directory === undefined || first === undefined) return;
    const name = `${this.#process.replaceAll(" ", "-")}-${first.spanId}.json`;
    const text = encodeSpans({ unixOffsetNs: unixOffsetNs(), spans: this.spans });
    try {
      writeFileSync(join(this.directory, name), text, { flag: "wx", mode: 0o600 });
    } catch {
      // a trace must not fail a call
    }
  }
}

/** Measure a part of the work, if anybody traces it; else only do it. A failure is noted, and goes on. */
export function inSpan<T>(name: string, work: () => T, attributes?: SpanAttributes): T {
  const parent = active.getStore();
  if (parent === undefined) return work();
  const span = {
    spanId: newSpanId(),
    ...(parent.spanId !== undefined && { parentId: parent.spanId }),
    name,
    startNs: monotonicNs(),
    ...(attributes && { attributes }),
  };
  const end = (failure?: { readonly error: unknown }) => {
    const why = failure && (failure.error instanceof Error ? failure.error.message : String(failure.error));
    parent.recorder.add({ ...span, endNs: monotonicNs(), ...(why !== undefined && { error: why }) });
  };
  return active.run({ recorder: parent.recorder, spanId: span.spanId }, () => {
    try {
      const result = work();
      if (!isThenable(result)) {
        end();
        return result;
      }
      return result.then(
        (value) => {
          end();
          return value;
        },
        (error: unknown) => {
          end({ error });
          throw error;
        },
      ) as T;
    } catch (error) {
      end({ error });
      throw error;
    }
  });
}

/** Adds spans that were measured elsewhere, as parts of the span of the moment in which it was asked for. Undefined: nobody traces. */
export function spanAdder(): ((span: Omit<Span, "traceId" | "spanId" | "parentId">) => void) | undefined {
  const parent = active.getStore();
  if (parent === undefined) return undefined;
  const place = parent.spanId === undefined ? {} : { parentId: parent.spanId };
  return (span) => parent.recorder.add({ ...span, spanId: newSpanId(), ...place });
}

/** Whether anybody traces what is being done. */
export function isTraced(): boolean {
  return active.getStore() !== undefined;
}

/** What a call to another process says of the trace; empty if there is none. Keys are metadata's. */
export function traceMetadata(): Readonly<Record<string, string>> {
  const parent = active.getStore();
  if (parent === undefined) return {};
  const { recorder, spanId } = parent;
  if (spanId === undefined) return {};
  const context: TraceContext = { traceId: recorder.traceId, spanId, sampled: true };
  const { directory } = recorder;
  return {
    [TRACEPARENT]: formatTraceparent(context),
    ...(directory !== undefined && { [TRACE_DIRECTORY]: directory }),
  };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value && typeof value.then === "function";
}
