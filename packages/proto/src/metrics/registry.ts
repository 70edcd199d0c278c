import type { Labels, MetricFamily, Sample } from "./family.ts";

/** A number for each set of labels that only grows. */
export class Counter {
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  add(labels: Labels = {}, by = 1): void {
    const key = JSON.stringify(labels);
    const entry = this.#values.get(key) ?? { labels, value: 0 };
    entry.value += by;
    this.#values.set(key, entry);
  }

  samples(): Sample[] {
    return [...this.#values.values()].map(({ labels, value }) => ({ labels, value }));
  }
}

/** How often something took how long, for each set of labels. In seconds, as Prometheus wants it. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #entries = new Map<string, { readonly labels: Labels; readonly counts: number[]; sum: number }>();

  /** `bounds`: rising, the last bucket is for what is above. */
  constructor(bounds: readonly number[] = SECONDS) {
    this.#bounds = bounds;
  }

  observe(labels: Labels, value: number): void {
    const at = this.#bounds.findIndex((bound) => value <= bound);
    this.#add(labels, at < 0 ? this.#bounds.length : at, 1, value);
  }

  samples(): Sample[] {
    return [...this.#entries.values()].map(({ labels, counts, sum }) => ({
      labels,
      bounds: this.#bounds,
      counts: [...counts],
      sum,
    }));
  }

  /** Add what another process has counted. Other bounds than ours are left out. */
  restore(sample: Extract<Sample, { counts: unknown }>): void {
    if (JSON.stringify(sample.bounds) !== JSON.stringify(this.#bounds)) return;
    for (const [at, count] of sample.counts.entries()) this.#add(sample.labels, at, count, 0);
    this.#add(sample.labels, 0, 0, sample.sum);
  }

  #add(labels: Labels, at: number, count: number, sum: number): void {
    const key = JSON.stringify(labels);
    const entry = this.#entries.get(key) ?? {
      labels,
      counts: new Array<number>(this.#bounds.length + 1).fill(0),
      sum: 0,
    };
    entry.counts[at] = (entry.counts[at] ?? 0) + count;
    entry.sum += sum;
    this.#entries.set(key, entry);
  }
}

/** From a millisecond, which an exec may take, to ten seconds. */
const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** The metrics of one process. */
export class MetricRegistry {
  readonly #families = new Map<string, MetricFamily["type"]>();
  readonly #helps = new Map<string, string>();
  readonly #counters = new Map<string, Counter>();
  readonly #histograms = new Map<string, Histogram>();
  readonly #gauges = new Map<string, () => readonly Sample[]>();

  counter(name: string, help: string): Counter {
    this.#declare(name, help, "counter");
    const counter = new Counter();
    this.#counters.set(name, counter);
    return counter;
  }

  histogram(name: string, help: string): Histogram {
    this.#declare(name, help, "histogram");
    const histogram = new Histogram();
    this.#histograms.set(name, histogram);
    return histogram;
  }

  /** `read` is called when somebody asks, and only then. */
  gauge(name: string, help: string, read: () => readonly Sample[]): void {
    this.#declare(name, help, "gauge");
    this.#gauges.set(name, read);
  }

  /** As it is now. */
  families(): MetricFamily[] {
    return [...this.#families].map(([name, type]) => {
      const source = this.#counters.get(name)?.samples() ?? this.#histograms.get(name)?.samples();
      return { name, help: this.#helps.get(name) ?? "", type, samples: source ?? this.#gauges.get(name)?.() ?? [] };
    });
  }

  /** Go on from what an earlier process has counted. What has no counter here is left out. */
  restore(families: readonly MetricFamily[]): void {
    for (const { name, samples } of families)
      for (const sample of samples)
        if ("counts" in sample) this.#histograms.get(name)?.restore(sample);
        else this.#counters.get(name)?.add(sample.labels, sample.value);
  }

  #declare(name: string, help: string, type: MetricFamily["type"]): void {
    if (this.#families.has(name)) throw new TypeError(`metric ${name} is declared twice`);
    this.#families.set(name, type);
    this.#helps.set(name, help);
  }
}
