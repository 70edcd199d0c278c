import type { SpanAttributes, SpanDocument } from "./span.ts";

/** What sends spans. */
export interface OtlpResource {
  /** `service.name` and the like. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly version: string;
}

const KIND_INTERNAL = 1;
const STATUS_ERROR = 2;

/** An ExportTraceServiceRequest in OTLP's JSON form. Source: opentelemetry-proto, trace/v1, and the OTLP specification, "JSON Protobuf Encoding". */
export function encodeOtlp({ unixOffsetNs, spans }: SpanDocument, resource: OtlpResource): string {
  return JSON.stringify({
    resourceSpans: [
      {
        resource: { attributes: toAttributes(resource.attributes) },
        scopeSpans: [
          {
            scope: { name: "trimaran", version: resource.version },
            spans: spans.map((span) => ({
              traceId: span.traceId,
              spanId: span.spanId,
              ...(span.parentId === undefined ? {} : { parentSpanId: span.parentId }),
              name: span.name,
              kind: KIND_INTERNAL,
              startTimeUnixNano: String(span.startNs + unixOffsetNs),
              endTimeUnixNano: String(span.endNs + unixOffsetNs),
              attributes: toAttributes({ ...span.attributes, "trimaran.process": span.process }),
              status: span.error === undefined ? {} : { code: STATUS_ERROR, message: span.error },
            })),
          },
        ],
      },
    ],
  });
}

function toAttributes(attributes: SpanAttributes): { key: string; value: Record<string, unknown> }[] {
  return Object.entries(attributes).map(([key, value]) => ({ key, value: toValue(value) }));
}

/** Integers are texts, as protobuf's JSON has 64-bit ones. */
function toValue(value: string | number | boolean): Record<string, unknown> {
  if (typeof value === "string") return { stringValue: value };
  if (typeof value === "boolean") return { boolValue: value };
  return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
}
