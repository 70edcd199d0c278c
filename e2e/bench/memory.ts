import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { processesOf } from "../harness/belongings.ts";
import type { ShimYard, StartedShim } from "../harness/shims.ts";

/** Kilobytes. */
export interface Memory {
  readonly pssKb: number;
  readonly privateKb: number;
  readonly processes: number;
}

/** Memory of everything that a number of pods costs besides the containers: shims or monitors, and the task servers. */
export interface PodMemory {
  readonly pods: number;
  readonly shims: Memory;
  readonly servers: Memory;
}

/** What all of it costs, shims and task servers; NaN where nothing was measured. */
export function totalKb(point: PodMemory | undefined, key: "pssKb" | "privateKb" = "pssKb"): number {
  return point === undefined ? Number.NaN : point.shims[key] + point.servers[key];
}

/** Start a pod that sleeps. */
export async function startPod(yard: ShimYard): Promise<StartedShim> {
  const pod = await yard.start(["sleep", "100000"]);
  await pod.create();
  await pod.shim.task.start({ id: pod.id });
  return pod;
}

/** Measure the yard as it is. A process is a container's if it is in a cgroup of the yard's namespace. */
export async function measure(yard: ShimYard, pods: number): Promise<PodMemory> {
  const servers = new Set(await serverPids(yard));
  const all = await processesOf(yard);
  const outside = await Promise.all(all.map(async ({ pid }) => ((await isContainer(pid, yard)) ? [] : [pid])));
  const pids = outside.flat();
  return {
    pods,
    shims: await sum(pids.filter((pid) => !servers.has(pid))),
    servers: await sum(pids.filter((pid) => servers.has(pid))),
  };
}

async function isContainer(pid: number, yard: ShimYard): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/cgroup`, "utf8").catch(() => "");
  return text.includes(`/${yard.tag}/`);
}

async function serverPids(yard: ShimYard): Promise<number[]> {
  const folders = await readdir(yard.trimaranState).catch(() => []);
  const texts = folders.map((name) => readFile(join(yard.trimaranState, name, "server.pid"), "utf8").catch(() => ""));
  return (await Promise.all(texts)).map((text) => Number.parseInt(text, 10)).filter((pid) => pid > 0);
}

async function sum(pids: readonly number[]): Promise<Memory> {
  const total = { pssKb: 0, privateKb: 0, processes: 0 };
  for (const pid of pids) {
    const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "");
    const field = (name: string) => Number(new RegExp(`^${name}: +(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
    total.pssKb += field("Pss");
    total.privateKb += field("Private_Clean") + field("Private_Dirty");
    total.processes += 1;
  }
  return total;
}
