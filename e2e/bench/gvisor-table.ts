import { type PodMemory, totalKb } from "./memory.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

/** What was measured of one runsc. */
export interface GvisorSeries {
  readonly name: string;
  /** Milliseconds by step, pair by pair: through the shim, and by bare runsc. */
  readonly ours: ReadonlyMap<string, readonly number[]>;
  readonly bare: ReadonlyMap<string, readonly number[]>;
}

/** Our processes' memory by shim, at growing numbers of pods. */
export type MemoryByShim = ReadonlyMap<string, readonly PodMemory[]>;

/** The tables of the package's README; `machine` is the line above them. */
export function renderGvisor(machine: string, series: readonly GvisorSeries[], memory: MemoryByShim): string {
  const latency = series.flatMap(({ name, ours, bare }) =>
    [...ours].map(([step, own]) => latencyRow(`${name}: ${step}`, own, bare.get(step) ?? [])),
  );
  return `${machine}

| ms, p50 / p99 | shim-gvisor | bare runsc | difference, p50 | ratio |
|---|---|---|---|---|
${latency.join("\n")}

Our own memory, without sandboxes and gofers: monitors and the task server.

${memoryTable(memory)}`;
}

function latencyRow(name: string, own: readonly number[], bare: readonly number[]): string {
  const cell = (times: readonly number[]) => {
    const { p50, p99 } = summarize(times);
    return `${short(p50)} / ${short(p99)}`;
  };
  const { median, lower, upper } = ratioOf(own, bare);
  const difference = summarize(own).p50 - summarize(bare).p50;
  const lost = median < 1 ? " **lost**" : "";
  const ratio = `${short(median)} (${short(lower)} to ${short(upper)})${lost}`;
  return `| ${[name, cell(own), cell(bare), `${difference > 0 ? "+" : ""}${short(difference)}`, ratio].join(" | ")} |`;
}

/** A column for each shim; what a pod costs is the monitors', and with its share of the task server. */
function memoryTable(memory: MemoryByShim): string {
  const names = [...memory.keys()];
  const counts = [...new Set([...memory.values()].flatMap((points) => points.map(({ pods }) => pods)))];
  const rows = counts.flatMap((pods) => {
    const points = names.map((name) => memory.get(name)?.find((point) => point.pods === pods));
    const row = (what: string, of: (point: PodMemory) => number) =>
      `| ${[`${pods === 1 ? "1 pod" : `${pods} pods, each`}: ${what}`, ...points.map((point) => (point ? String(Math.round(of(point) / pods)) : "-"))].join(" | ")} |`;
    return [
      row("monitor, private", ({ shims }) => shims.privateKb),
      row("monitor, PSS", ({ shims }) => shims.pssKb),
      row("with its share of the task server, PSS", (point) => totalKb(point)),
    ];
  });
  return [`| KiB | ${names.join(" | ")} |`, `|${"---|".repeat(names.length + 1)}`, ...rows].join("\n");
}
