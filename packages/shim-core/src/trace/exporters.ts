import { OtlpExporter, parseOtlpSettings } from "@trimaran/proto";
import type { PodIdentity } from "../pod/identity.ts";

/** The name of this process in spans. */
export const TASK_SERVER = "task server";

/** One way to each collector, shared by the pods whose daemons name the same. */
export function exporting(serviceName: string, version: string): (identity: PodIdentity) => OtlpExporter | undefined {
  const exporters = new Map<string, OtlpExporter>();
  return ({ telemetry }) => {
    const settings = telemetry && parseOtlpSettings(telemetry, serviceName);
    if (settings === undefined) return undefined;
    const key = JSON.stringify(settings);
    const exporter = exporters.get(key) ?? new OtlpExporter(settings, version);
    exporters.set(key, exporter);
    return exporter;
  };
}
