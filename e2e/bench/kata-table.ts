import type { PodCost } from "./kata-memory.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

/** All that was measured: milliseconds by "SIDE STEP", side by side in rounds. */
export interface KataFigures {
  /** The line above the tables. */
  readonly machine: string;
  readonly atOnce: number;
  readonly samples: ReadonlyMap<string, readonly number[]>;
  readonly memory: PodCost;
}

/** A row: what it is called, its samples, and what is aimed at. */
type Row = readonly [name: string, key: string];

/** The parts of a container's life, in their order. */
const STEPS: readonly Row[] = [
  ["bootstrap", "bootstrap"],
  ["Create: file share and QEMU run", "qemu"],
  ["Create: the template's state is loaded (cold: QEMU answers)", "wake"],
  ["Create: the agent has answered (cold: the guest has booted)", "answer"],
  ["Create: entropy, clock, share and network in the guest; rootfs and stdio on the host", "prepare"],
  ["Create: CreateContainer in the guest", "inside"],
  ["Create, whole", "create"],
  ["Start", "start"],
  ["Wait", "wait"],
  ["Delete, with the machine", "delete"],
  ["**bootstrap to delete**", "total"],
];

/** Who works for an exec besides the pod's monitor. */
const EXEC_PARTS: readonly Row[] = [
  ["the machine: QEMU, with all that runs in the guest", "machine"],
  ["the task server", "server"],
  ["the share's bridge", "bridge"],
  ["virtiofsd", "daemon"],
];

/** The tables of the package's README. */
export function renderKata({ machine, atOnce, samples, memory }: KataFigures): string {
  const of = (key: string): readonly number[] => samples.get(key) ?? [];
  const goal = (name: string, value: string, aim: string): string => `| ${name} | ${value} | ${aim} |`;
  const ratio = (ours: string, other: string): string => {
    const { median, lower, upper } = ratioOf(of(other), of(ours));
    return `${short(median)} (${short(lower)} to ${short(upper)})`;
  };
  return `${machine} p50 / p99; ratios: median and quartiles of the pairs of a round.

| | measured | aim |
|---|---|---|
${[
  goal("clone to the first answered call, of a cold boot", ratio("clone ready", "cold ready"), "0.06"),
  goal("`ctr run --rm` of `true`, ms", cell(of("clone ctr")), "1000"),
  goal("exec of `true`, of shim-runc's", ratio("clone exec", "runc exec"), "5"),
  goal(`a further pod, ${memory.from} to ${memory.to}, MB of PSS`, short(memory.totalKb / 1024), "60"),
  goal(`${atOnce} containers at once, ms`, cell(of("clone at once")), ""),
].join("\n")}

| where a start goes, ms | clone | cold boot | shim-runc |
|---|---|---|---|
${STEPS.map(([name, key]) => `| ${[name, ...["clone", "cold", "runc"].map((side) => cell(of(`${side} ${key}`)))].join(" | ")} |`).join("\n")}
| exec of \`true\` | ${cell(of("clone exec"))} | | ${cell(of("runc exec"))} |

| where an exec goes, ms of processor time | |
|---|---|
${EXEC_PARTS.map(([name, key]) => `| ${name} | ${cell(of(`clone cpu ${key}`))} |`).join("\n")}

A further pod: ${programs(memory)}.`;
}

function programs({ byProgram }: PodCost): string {
  const sorted = [...byProgram].filter(([, kb]) => Math.abs(kb) >= 10).sort(([, a], [, b]) => b - a);
  return sorted.map(([name, kb]) => `${name} ${short(kb / 1024)} MB`).join(", ");
}

function cell(times: readonly number[]): string {
  if (times.length === 0) return "";
  const { p50, p99 } = summarize(times);
  return times.length === 1 ? short(p50) : `${short(p50)} / ${short(p99)}`;
}
