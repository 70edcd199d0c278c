import { totalKb } from "./memory.ts";
import type { Report } from "./report.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

/** One aim, and where we are. */
interface Target {
  readonly name: string;
  /** As it is written: `at most 0.12x`. */
  readonly asked: string;
  readonly measured: number;
  readonly unit: "x" | "ms";
  readonly isMet: (value: number) => boolean;
}

const RIVALS = ["upstream 1.6", "upstream 2.x"] as const;

/** The table of targets: a row for each, met or missed. */
export function renderTargets(report: Report): string {
  const rows = targetsOf(report).map(({ name, asked, measured, unit, isMet }) => {
    const value = unit === "x" ? `${short(measured)}x` : `${short(measured)} ms`;
    return `| ${[name, asked, value, isMet(measured) ? "met" : "**missed**"].join(" | ")} |`;
  });
  return ["| target | asked | measured | |", "|---|---|---|---|", ...rows].join("\n");
}

function targetsOf(report: Report): Target[] {
  const { series, floor } = report;
  const [ours] = series;
  const own = (step: string) => ours?.samples[step] ?? [];
  const p50 = (samples: readonly number[]) => (samples.length === 0 ? Number.NaN : summarize(samples).p50);
  const overRival = (step: string, rival: string) => 1 / medianRatio(own(step), samplesOf(report, rival, step));
  const atMost = (limit: number) => (value: number) => value <= limit;
  const upstream = RIVALS.flatMap((rival): Target[] => [
    {
      name: `bootstrap to delete, of ${rival}'s`,
      asked: "at most 0.12x",
      measured: overRival("total", rival),
      unit: "x",
      isMet: atMost(0.12),
    },
    {
      name: `exec, of ${rival}'s`,
      asked: "at most 0.15x",
      measured: overRival("exec", rival),
      unit: "x",
      isMet: atMost(0.15),
    },
    {
      name: `100 pods, PSS, of ${rival}'s`,
      asked: "at most 0.15x",
      measured: pssOf(report, ours?.name, 100) / pssOf(report, rival, 100),
      unit: "x",
      isMet: atMost(0.15),
    },
    {
      name: `100 pods at rest, PSS, of ${rival}'s`,
      asked: "at most 0.15x",
      measured: restOf(report, ours?.name) / restOf(report, rival),
      unit: "x",
      isMet: atMost(0.15),
    },
    {
      name: `stdout, of ${rival}'s rate`,
      asked: "at least 2x",
      measured: medianRatio(own("stdout, 512 MiB"), samplesOf(report, rival, "stdout, 512 MiB")),
      unit: "x",
      isMet: (value) => value >= 2,
    },
  ]);
  const life = sums(["create", "start", "wait", "delete"].map(own));
  const { p50: middle, p99 } = summarize(own("total").length > 0 ? own("total") : [Number.NaN]);
  return [
    ...upstream,
    {
      name: "create to clean-up, of the raw floor's",
      asked: "at most 3x",
      measured: medianRatio(floor.total ?? [], life),
      unit: "x",
      isMet: atMost(3),
    },
    {
      name: "300th start, of the 1st",
      asked: "at most 1.3x",
      measured: p50(own("starts 291 to 300")) / p50(own("starts 2 to 11")),
      unit: "x",
      isMet: atMost(1.3),
    },
    {
      name: "p99 of bootstrap to delete, of its p50",
      asked: "at most 3x",
      measured: p99 / middle,
      unit: "x",
      isMet: atMost(3),
    },
    ...report.ttrpc.map(
      ({ role, inFlight, ratio }): Target => ({
        name: `ttrpc-ts as ${role}, ${inFlight} in flight, of Go's calls per second`,
        asked: "at least 1x",
        measured: ratio,
        unit: "x",
        isMet: (value) => value >= 1,
      }),
    ),
    {
      name: "bootstrap where no task server runs",
      asked: "at most 80 ms",
      measured: p50(own("bootstrap, cold")),
      unit: "ms",
      isMet: atMost(80),
    },
  ];
}

/** Theirs over ours, pair by pair. */
function medianRatio(ours: readonly number[], theirs: readonly number[]): number {
  return ratioOf(ours, theirs).median;
}

function samplesOf({ series }: Report, name: string, step: string): readonly number[] {
  return series.find((each) => each.name === name)?.samples[step] ?? [];
}

function sums(columns: readonly (readonly number[])[]): number[] {
  return (columns[0] ?? []).map((_, at) => columns.reduce((sum, column) => sum + (column[at] ?? Number.NaN), 0));
}

function restOf({ atRest }: Report, name = ""): number {
  return totalKb(atRest[name]);
}

function pssOf({ memory }: Report, name: string | undefined, pods: number): number {
  return totalKb(memory[name ?? ""]?.find((each) => each.pods === pods));
}
