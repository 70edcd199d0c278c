import { readFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { CONTAINERD2_PREFIX } from "../../tools/debian/containerd2.ts";
import { run } from "../harness/process.ts";
import type { PodMemory } from "./memory.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

/** Samples of one candidate: milliseconds by step, the n-th of each candidate taken in the same round. */
export interface Series {
  readonly name: string;
  readonly samples: Readonly<Record<string, readonly number[]>>;
}

/** All that build/bench.json holds. */
export interface Report {
  readonly at: string;
  readonly machine: Readonly<Record<string, string>>;
  readonly rounds: number;
  /** Ours first, if it is there. */
  readonly series: readonly Series[];
  readonly memory: Readonly<Record<string, readonly PodMemory[]>>;
}

/** What the figures depend on. */
export async function machine(): Promise<Record<string, string>> {
  const version = async (...argv: string[]) => (await run(argv)).stdout.trim().split("\n")[0] ?? "";
  const os = /PRETTY_NAME="(.*)"/.exec(await readFile("/etc/os-release", "utf8"))?.[1] ?? "";
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? process.arch}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${os}, Linux ${release()}`,
    node: process.version,
    containerd: await version("containerd", "--version"),
    runc: await version("runc", "--version"),
    "containerd 2.x": await version(join(CONTAINERD2_PREFIX, "bin/containerd"), "--version"),
    "runc 2.x": await version(join(CONTAINERD2_PREFIX, "bin/runc"), "--version"),
  };
}

/** Print tables: milliseconds by step, then kilobytes by pod. "×" is rival over ours, median and quartiles: above 1 we are better. */
export function printReport({ machine: facts, series, memory, rounds }: Report): void {
  for (const [name, value] of Object.entries(facts)) console.log(`${name}: ${value}`);
  console.log(`rounds: ${rounds}\n`);
  const [first, ...rivals] = series;
  if (first === undefined) return;
  const steps = [...new Set(series.flatMap(({ samples }) => Object.keys(samples)))];
  const head = series.map(({ name }) => `${name} p50 | p99 ms |`).join(" ");
  console.log(`| step | ${head} ${rivals.map(({ name }) => `× ${name} |`).join(" ")}`);
  console.log(`|---|${"---|---|".repeat(series.length)}${"---|".repeat(rivals.length)}`);
  for (const step of steps) {
    const cells = series.map(({ samples }) => {
      const own = samples[step];
      if (own === undefined) return "- | -";
      const { p50, p99 } = summarize(own);
      return `${short(p50)} | ${short(p99)}`;
    });
    const ratios = rivals.map(({ samples }) => {
      const [own, other] = [first.samples[step], samples[step]];
      if (own === undefined || other === undefined) return "-";
      const { median, lower, upper } = ratioOf(own, other);
      return `${short(median)} (${short(lower)} to ${short(upper)})`;
    });
    console.log(`| ${step} | ${[...cells, ...ratios].join(" | ")} |`);
  }
  printMemory(memory);
}

function printMemory(memory: Report["memory"]): void {
  console.log(
    "\n| memory, KiB | 20 pods: PSS | private | of that task server: PSS | private | one pod more: PSS | private |",
  );
  console.log("|---|---|---|---|---|---|---|");
  for (const [name, points] of Object.entries(memory)) {
    const [first, last] = [points[0], points.at(-1)];
    if (first === undefined || last === undefined) continue;
    const pods = last.pods - first.pods;
    const total = (point: PodMemory, key: "pssKb" | "privateKb") => point.shims[key] + point.servers[key];
    const slope = (key: "pssKb" | "privateKb") => Math.round((total(last, key) - total(first, key)) / pods);
    const { pssKb, privateKb } = first.servers;
    const cells = [
      total(first, "pssKb"),
      total(first, "privateKb"),
      pssKb,
      privateKb,
      slope("pssKb"),
      slope("privateKb"),
    ];
    console.log(`| ${name} | ${cells.join(" | ")} |`);
  }
}
