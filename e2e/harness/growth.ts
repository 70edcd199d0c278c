import { readdir, readFile } from "node:fs/promises";
import { cgroupsOf, filesOf, mountsOf } from "./belongings.ts";
import type { Engine } from "./containerd.ts";
import { heldKb } from "./held-memory.ts";

/** What is watched while something goes on for long. Memory is PSS in KiB, if nothing else is said; descriptors are counted. */
export interface Usage {
  /** Of all task servers. */
  readonly serverKb: number;
  /** What they hold after their garbage was collected. */
  readonly serverHeldKb: number;
  readonly serverFds: number;
  /** Of the monitors of the containers that stay, together. */
  readonly monitorKb: number;
  readonly monitorFds: number;
  readonly engineFds: number;
  /** Files, cgroups and mounts that are the containers'. */
  readonly things: number;
}

/** How much more may be there at the end than early on: what garbage collectors and allocators move by. */
const TOLERATED: Readonly<Record<keyof Usage, (early: number) => number>> = {
  serverKb: (early) => 6144 + early / 10, // when V8 collects is its own affair: that nothing is kept shows below
  serverHeldKb: () => 1024,
  serverFds: () => 12,
  monitorKb: (early) => 64 + early / 10,
  monitorFds: () => 8,
  engineFds: (early) => 24 + early / 10,
  things: (early) => 24 + early / 10,
};

const FEWEST = 15;

/** Take a look. `monitors`: pids of those whose pods stay all the time. */
export async function lookAt(engine: Engine, monitors: readonly number[]): Promise<Usage> {
  const servers = await engine.taskServerPids();
  const things = await Promise.all([filesOf(engine), cgroupsOf(engine), mountsOf(engine)]);
  return {
    serverKb: await sum(servers, pssKb),
    serverHeldKb: await heldBy(servers),
    serverFds: await sum(servers, descriptors),
    monitorKb: await sum(monitors, pssKb),
    monitorFds: await sum(monitors, descriptors),
    engineFds: await descriptors(engine.pid),
    things: things.flat().length,
  };
}

/** Each thing that has grown from the second fifth of the looks to the last one, medians of both. Throws RangeError for too few looks to tell. */
export function grown(looks: readonly Usage[]): string[] {
  if (looks.length < FEWEST) throw new RangeError(`${looks.length} looks: growth shows in ${FEWEST} or more`);
  const fifth = Math.floor(looks.length / 5);
  return (Object.keys(TOLERATED) as (keyof Usage)[]).flatMap((key) => {
    const values = looks.map((look) => look[key]);
    const [early, late] = [median(values.slice(fifth, 2 * fifth)), median(values.slice(-fifth))];
    return late - early > TOLERATED[key](early) ? [`${key} grew from ${early} to ${late}`] : [];
  });
}

/** One after the other: they share a port. */
async function heldBy(pids: readonly number[]): Promise<number> {
  let total = 0;
  for (const pid of pids) total += await heldKb(pid);
  return total;
}

async function sum(pids: readonly number[], of: (pid: number) => Promise<number>): Promise<number> {
  return (await Promise.all(pids.map(of))).reduce((total, each) => total + each, 0);
}

/** 0 for a process that has just ended. */
async function pssKb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
  return Number(/^Pss: +(\d+) kB/m.exec(text)?.[1] ?? 0);
}

async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`).catch(() => [])).length;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}
