import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { cgroupsOf, filesOf, mountsOf, type ProcessEntry, processesOf, type Scope } from "./belongings.ts";
import { PATIENCE } from "./patience.ts";

/** What leak checks need of an engine. */
export interface Watched extends Scope {
  readonly pid: number;
  taskServerPids(): Promise<number[]>;
}

/** Lines that name each thing of a test: processes, mounts, cgroups, sockets, bundles. */
export type Snapshot = ReadonlySet<string>;

const SETTLE_MS = 5_000 * PATIENCE;

/** All that belongs to the engine now, without containerd itself and the task servers, which stay when containers go. */
export async function snapshot(engine: Watched): Promise<Snapshot> {
  const expected = new Set([engine.pid, ...(await engine.taskServerPids())]);
  const processes = (await processesOf(engine)).filter(({ pid }) => !expected.has(pid));
  const parts = await Promise.all([mountsOf(engine), cgroupsOf(engine), filesOf(engine)]);
  const [mounts, cgroups, files] = parts;
  return new Set([
    ...processes.map(processLine),
    ...mounts.map((path) => `mount ${path}`),
    ...cgroups.map((path) => `cgroup ${path}`),
    ...files.map((path) => `file ${path}`),
  ]);
}

/** The same for a process that sleeps now and runs then; a zombie is another thing than it was. */
function processLine({ pid, parent, state, command }: ProcessEntry): string {
  return `process ${pid} (parent ${parent}${state === "Z" ? ", zombie" : ""}): ${command}`;
}

/** Fail with a list of all that is there now and was not in `before`. Waits for what is just going away: up to 5 s, unless told otherwise. */
export async function assertNoLeaks(engine: Watched, before: Snapshot, settleMs = SETTLE_MS): Promise<void> {
  const until = Date.now() + settleMs;
  for (;;) {
    const left = [...(await snapshot(engine))].filter((line) => !before.has(line));
    if (left.length === 0) return;
    if (Date.now() > until) assert.fail(`left behind:\n  ${left.sort().join("\n  ")}`);
    await delay(50);
  }
}
