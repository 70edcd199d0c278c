/** How spans are sent. */
export interface OtlpSettings {
  readonly endpoint: string;
  readonly headers: Readonly<Record<string, string>>;
  /** 1 to 60000. */
  readonly timeoutMs: number;
  /** What waits at most; more is dropped. */
  readonly queueLimit: number;
  readonly batchLimit: number;
  readonly delayMs: number;
  /** `service.name` and OTEL_RESOURCE_ATTRIBUTES. */
  readonly resource: Readonly<Record<string, string>>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The variables that say something here, for those who hand an environment on. */
export function otlpVariables(environment: Environment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).flatMap(([key, value]) =>
      key.startsWith("OTEL_") && value !== undefined ? [[key, value]] : [],
    ),
  );
}

/**
 * OpenTelemetry's own environment variables. Undefined, that is off, unless an endpoint is named; also with OTEL_SDK_DISABLED=true,
 * OTEL_TRACES_EXPORTER=none, OTEL_TRACES_SAMPLER=always_off, and a protocol that is not HTTP. What is malformed counts as not set: telemetry must
 * not keep anything from running. Source: OpenTelemetry specification, "Environment Variable Specification" and "OTLP Exporter".
 */
export function parseOtlpSettings(environment: Environment, serviceName: string): OtlpSettings | undefined {
  const of = (name: string) =>
    environment[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || environment[`OTEL_EXPORTER_OTLP_${name}`];
  const isOff =
    environment.OTEL_SDK_DISABLED?.toLowerCase() === "true" ||
    !["", "otlp"].includes(environment.OTEL_TRACES_EXPORTER ?? "") ||
    environment.OTEL_TRACES_SAMPLER === "always_off" ||
    !["http/json", "http/protobuf"].includes(of("PROTOCOL") ?? "http/json");
  const endpoint = isOff ? undefined : endpointOf(environment);
  if (endpoint === undefined) return undefined;
  return {
    endpoint,
    headers: parsePairs(of("HEADERS")),
    timeoutMs: toCount(of("TIMEOUT"), 10_000, 60_000),
    queueLimit: toCount(environment.OTEL_BSP_MAX_QUEUE_SIZE, 2048, 65_536),
    batchLimit: toCount(environment.OTEL_BSP_MAX_EXPORT_BATCH_SIZE, 512, 65_536),
    delayMs: toCount(environment.OTEL_BSP_SCHEDULE_DELAY, 5000, 60_000),
    resource: {
      "service.name": serviceName,
      ...parsePairs(environment.OTEL_RESOURCE_ATTRIBUTES),
      ...(environment.OTEL_SERVICE_NAME ? { "service.name": environment.OTEL_SERVICE_NAME } : {}),
    },
  };
}

/** The one for traces is taken as it is; the general one is a base. */
function endpointOf(environment: Environment): string | undefined {
  const own = environment.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT;
  const base = environment.OTEL_EXPORTER_OTLP_ENDPOINT;
  const text = own || (base ? `${base.replace(/\/+$/, "")}/v1/traces` : "");
  const url = URL.parse(text);
  return url?.protocol === "http:" || url?.protocol === "https:" ? url.href : undefined;
}

/** `k=v,k=v`, percent-encoded. */
function parsePairs(text: string | undefined): Record<string, string> {
  return Object.fromEntries(
    (text ?? "").split(",").flatMap((pair) => {
      const [, key, value] = /^\s*([^=\s]+)\s*=\s*(.*?)\s*$/.exec(pair) ?? [];
      return key === undefined || value === undefined ? [] : [[key, decoded(value)]];
    }),
  );
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function toCount(text: string | undefined, byDefault: number, limit: number): number {
  return /^[1-9][0-9]*$/.test(text ?? "") ? Math.min(Number(text), limit) : byDefault;
}
