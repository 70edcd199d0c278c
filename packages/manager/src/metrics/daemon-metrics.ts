import { type Counter, type Histogram, type Labels, MetricRegistry, type MetricsReport } from "@trimaran/proto";
import { Code, hasCode } from "../errors/manager-error.ts";
import type { BoundMethod, BoundService } from "../grpc/bound-service.ts";

const CODES = Object.entries(Code).map(([name, code]) => {
  return [name.replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase(), code] as const;
});

/** What the daemon counts of itself: its gRPC calls. Services and codes are closed sets. */
export class DaemonMetrics {
  readonly #registry = new MetricRegistry();
  readonly #durations: Histogram;
  readonly #failures: Counter;
  readonly #labels: Labels;

  /** `tasks`: how many there are now. */
  constructor(address: string, tasks: () => number) {
    this.#labels = { daemon: address };
    this.#durations = this.#registry.histogram(
      "trimaran_daemon_request_duration_seconds",
      "Time of unary gRPC calls, by service.",
    );
    this.#failures = this.#registry.counter(
      "trimaran_daemon_request_failures_total",
      "gRPC calls that were answered with an error, by service and reason.",
    );
    this.#registry.gauge("trimaran_daemon_tasks", "Tasks of this daemon.", () => [{ labels: {}, value: tasks() }]);
    this.#registry.gauge("trimaran_daemon_memory_bytes", "Resident memory of the daemon.", () => [
      { labels: {}, value: process.memoryUsage.rss() },
    ]);
  }

  report(): MetricsReport {
    return { labels: this.#labels, families: this.#registry.families() };
  }

  /** The same service, counted. Streams last as long as their client likes, so they are not timed. */
  measured(service: BoundService): BoundService {
    return new Map([...service].map(([key, method]): [string, BoundMethod] => [key, this.#measuredMethod(method)]));
  }

  #measuredMethod(method: BoundMethod): BoundMethod {
    const service = method.path.split("/")[1] ?? "";
    const { clientStreaming, serverStreaming } = method.descriptor;
    if (clientStreaming || serverStreaming) return method;
    const handler: BoundMethod["handler"] = async (request, call) => {
      const startedAt = performance.now();
      try {
        const answer = await method.handler(request, call);
        this.#durations.observe({ service }, (performance.now() - startedAt) / 1000);
        return answer;
      } catch (error) {
        this.#failures.add({ service, reason: CODES.find(([, code]) => hasCode(error, code))?.[0] ?? "internal" });
        throw error;
      }
    };
    return { ...method, handler };
  }
}
