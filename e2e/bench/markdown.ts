import { readFile, rename, writeFile } from "node:fs/promises";
import { CROWDS } from "./crowd.ts";
import { type PodMemory, totalKb } from "./memory.ts";
import type { Report, Series } from "./report.ts";
import { ratioOf, short, summarize } from "./statistics.ts";
import { renderTargets } from "./targets.ts";

const BEGIN = "<!-- bench:begin -->";
const END = "<!-- bench:end -->";

/** What a row of the memory table shows of a candidate's points, in KiB. */
type MemoryRow = readonly [name: string, of: (points: readonly PodMemory[]) => number];

const total = (key: "pssKb" | "privateKb") => (point: PodMemory | undefined) => totalKb(point, key);
const at = (pods: number) => (points: readonly PodMemory[]) => points.find((point) => point.pods === pods);

/** What one pod more costs, from the second crowd to the last: the first pays what is paid once. */
function slope(points: readonly PodMemory[], of: (point: PodMemory | undefined) => number): number {
  const [first, last] = [points[1], points.at(-1)];
  return (of(last) - of(first)) / ((last?.pods ?? 0) - (first?.pods ?? 0));
}

const MEMORY_ROWS: readonly MemoryRow[] = [
  ...CROWDS.flatMap((pods): MemoryRow[] => {
    const what = pods === 1 ? "1 pod" : `${pods} pods`;
    return [
      [`${what}, PSS`, (points) => total("pssKb")(at(pods)(points))],
      [`${what}, private`, (points) => total("privateKb")(at(pods)(points))],
    ];
  }),
  ["of 100 pods: task servers, PSS", (points) => at(100)(points)?.servers.pssKb ?? Number.NaN],
  ["each further pod, PSS", (points) => slope(points, total("pssKb"))],
  ["each further pod, private", (points) => slope(points, total("privateKb"))],
];

/** The whole report as Markdown: what it was measured on, a table of milliseconds, a table of KiB. */
export function renderReport(report: Report): string {
  const { machine: facts, at, rounds, series } = report;
  const names = series.map(({ name }) => name);
  const rivals = names.slice(1);
  const head = (unit: string) => {
    const columns = [unit, ...names, ...rivals.map((name) => `ratio to ${name}`)];
    return `| ${columns.join(" | ")} |\n|${"---|".repeat(columns.length)}`;
  };
  return `${facts.cpu}, ${facts.memory}, ${facts.system}; Node ${facts.node}; ${at.slice(0, 10)}; ${rounds} rounds, all in turn, after ${report.warmUp} of containers and of execs that warm up.
upstream 1.6: ${facts.containerd}, ${facts.runc}, or ${facts.crun}. upstream 2.x: ${facts["containerd 2.x"]}, ${facts["runc 2.x"]}.

${renderTargets(report)}

Steps are calls at the shim API, for a container or an exec of \`true\`; \`total\` is from bootstrap to delete. A ratio is upstream's over ours,
median and quartiles of the pairs of a round: above 1 ours is better; a row that we lose says so.

${head("ms, p50 / p99")}
${latencyRows(series).join("\n")}

The raw floor is [a C program](e2e/bench/floor.c) that does the same to the kernel and nothing else; the rest is what a runtime adds.

| ms, p50 | ${names[0] ?? ""} | raw floor | ours over the floor |
|---|---|---|---|
${floorRows(report).join("\n")}

${head("memory, KiB")}
${memoryRows(report).join("\n")}`;
}

/** Write Markdown between the marks of a README. Throws if they are not there. */
export async function writeBetweenMarks(path: string, markdown: string): Promise<void> {
  const text = await readFile(path, "utf8");
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin) throw new Error(`${path}: no ${BEGIN} … ${END}`);
  const whole = `${text.slice(0, begin + BEGIN.length)}\n${markdown}\n${text.slice(end)}`;
  await writeFile(`${path}.new`, whole);
  await rename(`${path}.new`, path);
}

function latencyRows(series: readonly Series[]): string[] {
  const [ours, ...rivals] = series;
  const steps = new Set(series.flatMap(({ samples }) => Object.keys(samples)));
  return [...steps].map((step) => {
    const times = series.map(({ samples }) => {
      const own = samples[step];
      if (own === undefined) return "-";
      const { p50, p99 } = summarize(own);
      return `${short(p50)} / ${short(p99)}`;
    });
    const ratios = rivals.map(({ samples }) => {
      const [own, other] = [ours?.samples[step], samples[step]];
      if (own === undefined || other === undefined) return "-";
      const { median, lower, upper } = ratioOf(own, other);
      return `${short(median)} (${short(lower)} to ${short(upper)})${lost(median)}`;
    });
    return `| ${[step, ...times, ...ratios].join(" | ")} |`;
  });
}

/** Steps of ours, as sums, beside the floor's. */
const FLOOR_ROWS = [
  ["create", ["create"], "create"],
  ["start, to the exit", ["start", "wait"], "start"],
  ["delete", ["delete"], "remove"],
  ["create to clean-up", ["create", "start", "wait", "delete"], "total"],
] as const;

function floorRows({ series: [ours], floor }: Report): string[] {
  return FLOOR_ROWS.flatMap(([name, steps, step]) => {
    const raw = floor[step] ?? [];
    const own = raw.map((_, at) => steps.reduce((sum, each) => sum + (ours?.samples[each]?.[at] ?? Number.NaN), 0));
    if (raw.length === 0) return [];
    const { median, lower, upper } = ratioOf(raw, own);
    const cells = [summarize(own).p50, summarize(raw).p50].map(short);
    return [`| ${[name, ...cells, `${short(median)} (${short(lower)} to ${short(upper)})`].join(" | ")} |`];
  });
}

/** One measurement each, so no spread. A row that a candidate has none of has no ratio. */
function memoryRows({ series, memory, atRest }: Report): string[] {
  const growing = MEMORY_ROWS.map(([row, of]) => [row, series.map(({ name }) => of(memory[name] ?? []))] as const);
  const resting = [
    ["100 pods at rest, PSS", series.map(({ name }) => total("pssKb")(atRest[name]))],
    ["100 pods at rest, private", series.map(({ name }) => total("privateKb")(atRest[name]))],
  ] as const;
  return [...growing, ...resting].map(([name, values]) => {
    const [own = Number.NaN, ...others] = values;
    const ratios = others.map((other) => (own > 0 && other > 0 ? `${short(other / own)}${lost(other / own)}` : "-"));
    const cells = values.map((value) => (Number.isFinite(value) ? String(Math.round(value)) : "-"));
    return `| ${[name, ...cells, ...ratios].join(" | ")} |`;
  });
}

function lost(ratio: number): string {
  return ratio < 1 ? " **lost**" : "";
}
