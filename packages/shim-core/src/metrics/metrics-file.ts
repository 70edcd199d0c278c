import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Labels, METRICS_FILE, type MetricFamily, type MetricsReport, parseMetricsReport } from "@trimaran/proto";
import { SERVER_MEMORY, SERVER_RESTARTS, SERVER_STARTS, type TaskMetrics } from "./task-metrics.ts";

/**
 * Keeps counters while the task server sleeps. A counter that came back smaller than it was would look like a reset and be counted twice,
 * so only one that ended by itself hands on everything; after a kill all begin at zero, except for the starts, which are written at once.
 */
export class MetricsFile {
  /** The last task server here went by itself: pods that come back were woken, not rescued. */
  readonly followsSleep: boolean;
  readonly #path: string;
  readonly #labels: Labels;
  readonly #metrics: TaskMetrics;

  /** Goes on from what the directory has. A file that nobody can read is as good as none. */
  constructor(directory: string, labels: Labels, metrics: TaskMetrics) {
    this.#path = join(directory, METRICS_FILE);
    this.#labels = labels;
    this.#metrics = metrics;
    const before = readFamilies(this.#path);
    this.followsSleep = before.some((family) => !isOfStarts(family));
    metrics.registry.restore(before);
  }

  report(): MetricsReport {
    return { labels: this.#labels, families: this.#metrics.registry.families() };
  }

  /** What even a kill must not undo. */
  keepStarts(): void {
    this.#write(isOfStarts);
  }

  /** Everything: the task server goes to sleep, and what it has told of its pods stays true until something wakes another. */
  keepAll(): void {
    this.#write(({ name }) => name !== SERVER_MEMORY);
  }

  #write(isKept: (family: MetricFamily) => boolean): void {
    const { labels, families } = this.report();
    writeFileSync(`${this.#path}.new`, JSON.stringify({ labels, families: families.filter(isKept) }), { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
  }
}

function isOfStarts({ name }: MetricFamily): boolean {
  return name === SERVER_STARTS || name === SERVER_RESTARTS;
}

function readFamilies(path: string): readonly MetricFamily[] {
  try {
    return parseMetricsReport(readFileSync(path, "utf8")).families;
  } catch {
    return [];
  }
}
