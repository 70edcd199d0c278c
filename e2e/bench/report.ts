import { readFile } from "node:fs/promises";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { CONTAINERD2_PREFIX } from "../../tools/debian/containerd2.ts";
import { run } from "../harness/process.ts";
import type { PodMemory } from "./memory.ts";
import type { TtrpcRate } from "./ttrpc.ts";

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
  /** Rounds of containers and execs before those. */
  readonly warmUp: number;
  /** Ours first, if it is there. */
  readonly series: readonly Series[];
  readonly memory: Readonly<Record<string, readonly PodMemory[]>>;
  /** Of 100 pods that have been left alone. */
  readonly atRest: Readonly<Record<string, PodMemory>>;
  /** Milliseconds of the raw floor by step, in the same rounds as the containers. */
  readonly floor: Readonly<Record<string, readonly number[]>>;
  readonly ttrpc: readonly TtrpcRate[];
}

/** What the figures depend on. */
export async function machine(): Promise<Record<string, string>> {
  const version = async (...argv: string[]) => shortVersion((await run(argv)).stdout);
  const os = /PRETTY_NAME="(.*)"/.exec(await readFile("/etc/os-release", "utf8"))?.[1] ?? "";
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? process.arch}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `${os}, Linux ${release()}`,
    node: process.version,
    containerd: await version("containerd", "--version"),
    runc: await version("runc", "--version"),
    crun: await version("crun", "--version"),
    "containerd 2.x": await version(join(CONTAINERD2_PREFIX, "bin/containerd"), "--version"),
    "runc 2.x": await version(join(CONTAINERD2_PREFIX, "bin/runc"), "--version"),
  };
}

/** "containerd github.com/containerd/containerd 1.6.20 REVISION" and "runc version 1.1.5": name and number. */
function shortVersion(text: string): string {
  const [name = "", , number = ""] = text.split(/\s+/);
  return `${name} ${number}`;
}
