/** Traces of what commands do: the spans of proto, for those who may use only the manager. */
export {
  encodeSpans,
  inSpan,
  monotonicNs,
  newSpanId,
  newTraceId,
  OtlpExporter,
  parseOtlpSettings,
  parseSpans,
  type Span,
  type SpanDocument,
  SpanRecorder,
  unixOffsetNs,
} from "@trimaran/proto";
