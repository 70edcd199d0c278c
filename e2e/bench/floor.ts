import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { compile } from "../harness/compile.ts";
import { buildRootfs } from "../harness/images.ts";
import type { Laps } from "./latency.ts";

/** `floor.c`: what the kernel alone charges for a container, one life at a time. */
export interface Floor extends AsyncDisposable {
  /** Milliseconds: to the gate, from there to the exit of `true`, and the removal of the cgroups. */
  life(): Promise<Laps>;
}

/** Start it, in a mount namespace of its own, on every cgroup hierarchy of the machine. */
export async function openFloor(): Promise<Floor> {
  const program = await compile(join(import.meta.dirname, "floor.c"));
  const folder = await mkdtemp(join(tmpdir(), "trimaran-floor-"));
  const [upper, work] = [join(folder, "upper"), join(folder, "work")];
  for (const path of [upper, work]) await mkdir(path);
  const argv = ["-m", program, await buildRootfs(), upper, work, basename(folder), ...hierarchies()];
  const child = spawn("unshare", argv, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    life: async () => {
      child.stdin.write("\n");
      const { value } = await lines.next();
      const [create = 0, start = 0, remove = 0] = String(value ?? "")
        .split(" ")
        .map((us) => Number(us) / 1000);
      if (!(create > 0)) throw new Error("floor: it has ended");
      return { create, start, remove, total: create + start + remove };
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

/** Mount points of cgroup hierarchies, v1's and the unified one. Symbolic links to them are not mounts. */
function hierarchies(): string[] {
  return readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, , type]) => type === "cgroup" || type === "cgroup2")
    .flatMap(([, path]) => path ?? []);
}
