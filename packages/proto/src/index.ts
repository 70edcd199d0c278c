export { type Found, GreetingFinder, greeting, greetingReply, harmlessLength, NONCE_BYTES } from "./agent-greeting.ts";
export { ANY, anyTypeName, isAnyOf, packAny } from "./any.ts";
export {
  type Codec,
  encoded,
  type Init,
  MessageCodec,
  type MethodDescriptor,
  type ServiceDescriptor,
} from "./codec.ts";
export { containerd, criu, google, grpc, io, runtime, runtimeoptions, trimaran, ttrpc } from "./gen/codec.js";
export { type Int64, toBigInt, toLong } from "./int64.ts";
export { EXPOSITION_TYPE, expositionText, withLabels } from "./metrics/exposition.ts";
export type { Labels, MetricFamily, Sample } from "./metrics/family.ts";
export { type Counter, type Histogram, MetricRegistry } from "./metrics/registry.ts";
export { METRICS_FILE, METRICS_SOCKET, type MetricsReport, parseMetricsReport } from "./metrics/report.ts";
export {
  agentV1,
  containersV1,
  contentV1,
  diffV1,
  eventsV1,
  healthV1,
  imagesV1,
  introspectionV1,
  leasesV1,
  namespacesV1,
  sandboxControllerV1,
  sandboxStoreV1,
  sandboxV1,
  snapshotsV1,
  streamingV1,
  tasksV1,
  taskV2,
  taskV3,
  transferV1,
  ttrpcEvents,
  versionV1,
} from "./services.ts";
export { fromTimestamp, GO_ZERO_TIME, type Timestamp, toTimestamp } from "./timestamp.ts";
export { monotonicNs, unixOffsetNs } from "./trace/clock.ts";
export {
  formatTraceparent,
  newSpanId,
  newTraceId,
  parseTraceparent,
  TRACE_DIRECTORY,
  TRACE_ENVIRONMENT,
  TRACEPARENT,
  type TraceContext,
} from "./trace/context.ts";
export { OtlpExporter } from "./trace/exporter.ts";
export { type OtlpSettings, otlpVariables, parseOtlpSettings } from "./trace/otlp-settings.ts";
export { inSpan, isTraced, SpanRecorder, spanAdder, traceMetadata } from "./trace/recorder.ts";
export { encodeSpans, parseSpans, type Span, type SpanAttributes, type SpanDocument } from "./trace/span.ts";
export { type CallTrace, callTrace, type TracedCall, traceCall } from "./trace/trace-call.ts";
export { WireError, WireReader } from "./wire-reader.ts";
export { WireWriter } from "./wire-writer.ts";
