import { type CallTrace, OtlpExporter, parseOtlpSettings, tasksV1, traceCall } from "@trimaran/proto";
import type { BoundMethod, BoundService } from "../grpc/bound-service.ts";

const NO_TRACE: CallTrace = { traceparent: undefined, directory: undefined };
/** Calls that take as long as a process lives. */
const WAITS: ReadonlySet<string> = new Set(["wait"]);
/** Calls that do something to a task: each is worth a trace of its own. */
const BEGIN: ReadonlySet<string> = new Set(
  ["create", "start", "delete", "deleteProcess", "exec", "kill", "pause", "resume", "checkpoint", "update"].map(
    (key) => `/${tasksV1.name}/${tasksV1.methods[key as keyof typeof tasksV1.methods].name}`,
  ),
);

/** A service whose calls are spans: for clients that ask for them, and for the collector that OpenTelemetry's variables name. */
export function tracedService(service: BoundService, exporter: OtlpExporter | undefined): BoundService {
  return new Map([...service].map(([key, method]) => [key, WAITS.has(key) ? method : traced(method, exporter)]));
}

function traced(method: BoundMethod, exporter: OtlpExporter | undefined): BoundMethod {
  if (method.descriptor.clientStreaming || method.descriptor.serverStreaming) return method;
  const own = { name: method.path.slice(1), process: "daemon", exporter, canBegin: BEGIN.has(method.path) };
  return {
    ...method,
    handler: (request, call) => traceCall({ ...own, ...(call.trace ?? NO_TRACE) }, () => method.handler(request, call)),
  };
}

/** The daemon's; undefined unless its environment names a collector. */
export function openExporter(environment: NodeJS.ProcessEnv, version: string): OtlpExporter | undefined {
  const settings = parseOtlpSettings(environment, "trimaran");
  return settings && new OtlpExporter(settings, version);
}
