import { type Counter, containerd, type Histogram, MetricRegistry, type Sample } from "@trimaran/proto";
import type { PodDirectory } from "../pod/directory.ts";
import { type FailureReason, reasonOf } from "./reason.ts";

/** Requests of which it is told how long they take; Wait takes as long as a container lives, the others answer from memory. */
const TIMED = new Set([
  ...["create", "start", "start_exec", "delete", "delete_exec", "kill", "pause", "resume", "update", "checkpoint"],
  ...["bootstrap_start", "bootstrap_delete"],
]);
/** What an event's topic may be; a label's values are a closed set. */
const TOPICS = new Set(
  ["create", "start", "exit", "delete", "oom", "paused", "resumed", "exec-added", "exec-started", "checkpointed"].map(
    (name) => `/tasks/${name}`,
  ),
);

/** What a task server counts. Nothing is computed before somebody asks, and no timer runs. */
export class TaskMetrics {
  readonly registry = new MetricRegistry();
  readonly #starts: Counter;
  readonly #failures: Counter;
  readonly #durations: Histogram;
  readonly #events: Counter;
  readonly #serverStarts: Counter;
  readonly #serverRestarts: Counter;

  constructor() {
    const { registry } = this;
    this.#starts = registry.counter(
      "trimaran_starts_total",
      "Processes that were started, by kind: container or exec.",
    );
    this.#failures = registry.counter(
      "trimaran_request_failures_total",
      "Requests that were answered with an error, by method and reason.",
    );
    this.#durations = registry.histogram(
      "trimaran_request_duration_seconds",
      "Time from a request to its answer, by method.",
    );
    this.#events = registry.counter("trimaran_events_total", "Events that containerd has taken, by topic.");
    this.#serverStarts = registry.counter(SERVER_STARTS, "Starts of the task server since the machine's boot.");
    this.#serverRestarts = registry.counter(
      SERVER_RESTARTS,
      "Those of them that took over pods of one that had not gone to sleep: it had died, or hung.",
    );
  }

  /** Gauges of the pods as they are. */
  watch(pods: PodDirectory): void {
    const { registry } = this;
    registry.gauge("trimaran_monitors", "Monitors that are connected: one per pod.", () => one(pods.pods().length));
    registry.gauge("trimaran_tasks", "Tasks, by state.", () => {
      const states = new Map<string, number>();
      for (const pod of pods.pods())
        for (const { state } of pod.tasks.values()) states.set(state.state, (states.get(state.state) ?? 0) + 1);
      return [...states].map(([state, value]) => ({ labels: { state }, value }));
    });
    registry.gauge("trimaran_execs", "Execs that were added and not deleted.", () =>
      one(
        pods.pods().reduce((sum, pod) => sum + [...pod.tasks.values()].reduce((n, task) => n + task.execs.size, 0), 0),
      ),
    );
    registry.gauge(SERVER_MEMORY, "Resident memory of the task server.", () => one(process.memoryUsage.rss()));
  }

  answered(method: string, seconds: number): void {
    if (method === "start" || method === "start_exec")
      this.#starts.add({ kind: method === "start" ? "container" : "exec" });
    if (TIMED.has(method)) this.#durations.observe({ method }, seconds);
  }

  failed(method: string, reason: FailureReason): void {
    this.#failures.add({ method, reason });
  }

  /** An Envelope that containerd has taken. */
  published(envelope: Uint8Array): void {
    const { topic } = containerd.types.Envelope.decode(envelope);
    this.#events.add({ topic: TOPICS.has(topic) ? topic : "other" });
  }

  serverStarted(): void {
    this.#serverStarts.add();
  }

  serverRestarted(): void {
    this.#serverRestarts.add();
  }

  /** Time what `work` does, and count how it ends. What is answered at once stays so. */
  measure<T>(method: string, work: () => T): T {
    const startedAt = performance.now();
    const answered = () => this.answered(method, (performance.now() - startedAt) / 1000);
    const failed = (error: unknown): never => {
      this.failed(method, reasonOf(error));
      throw error;
    };
    let result: T;
    try {
      result = work();
    } catch (error) {
      return failed(error);
    }
    if (!(result instanceof Promise)) {
      answered();
      return result;
    }
    return result.then((value) => {
      answered();
      return value;
    }, failed) as T;
  }
}

export const SERVER_MEMORY = "trimaran_task_server_memory_bytes";
/** Counted in the state directory as well: a task server that was killed has forgotten the other counters. */
export const SERVER_STARTS = "trimaran_task_server_starts_total";
export const SERVER_RESTARTS = "trimaran_task_server_restarts_total";

function one(value: number): Sample[] {
  return [{ labels: {}, value }];
}
