import { readFileSync } from "node:fs";
import { ContainerCgroups } from "@trimaran/shim-core";
import { readConfig } from "../container/bundle-config.ts";
import type { Owner } from "./owner-mark.ts";

/** What a pod costs its host, in KiB of PSS (a page that several processes map counts for each in part), by who has it. */
export interface PodMemory {
  /** What the guest has touched of its memory. */
  readonly guestKb: number;
  /** QEMU itself: translated code, above all. */
  readonly vmmKb: number;
  /** The file server and the bridge to it. */
  readonly filesKb: number;
  /** The pod's monitor. The task server is not one pod's. */
  readonly shimKb: number;
}

/** Measure a pod whose machine runs; what ends meanwhile counts for nothing. Throws where its bundle or cgroup can't be read. */
export function podMemory({ podId, bundle }: Owner): PodMemory {
  const pids = new ContainerCgroups().find({ id: podId }, readConfig(bundle).spec).processes();
  const [vmm] = pids.sort((a, b) => virtualKb(b) - virtualKb(a)); // whatever it is called: a guest's memory is in it
  const machine = splitMachine(vmm === undefined ? "" : read(vmm, "smaps"));
  const others = pids.filter((pid) => pid !== vmm).map((pid) => pssOf(read(pid, "smaps_rollup")));
  const monitor = vmm === undefined ? undefined : /^PPid:\s+(\d+)/m.exec(read(vmm, "status"))?.[1];
  const shimKb = monitor === undefined ? 0 : pssOf(read(Number(monitor), "smaps_rollup"));
  return { ...machine, filesKb: others.reduce((sum, kb) => sum + kb, 0), shimKb };
}

/** QEMU's mappings, as /proc/PID/smaps lists them: the guest's memory is the largest one, whether it is a template's or its own. */
export function splitMachine(smaps: string): Pick<PodMemory, "guestKb" | "vmmKb"> {
  const mappings = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).map((text) => {
    return { sizeKb: Number(/^Size:\s+(\d+) kB/m.exec(text)?.[1] ?? 0), pssKb: pssOf(text) };
  });
  const largest = mappings.reduce((most, each) => (each.sizeKb > most.sizeKb ? each : most), { sizeKb: 0, pssKb: 0 });
  const allKb = mappings.reduce((sum, { pssKb }) => sum + pssKb, 0);
  return { guestKb: largest.pssKb, vmmKb: allKb - largest.pssKb };
}

function virtualKb(pid: number): number {
  return Number(/^VmSize:\s+(\d+) kB/m.exec(read(pid, "status"))?.[1] ?? 0);
}

function pssOf(text: string): number {
  return Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1] ?? 0);
}

function read(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, "utf8");
  } catch {
    return ""; // it has just ended
  }
}
