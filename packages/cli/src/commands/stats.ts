import { setTimeout as delay } from "node:timers/promises";
import { WriteStream } from "node:tty";
import { findContainer, type ManagerClient } from "@trimaran/manager";
import { type TaskUsage, taskUsages } from "@trimaran/manager/watch";
import type { CliContext, ManagerFlags } from "../cli-context.ts";
import { formatSize } from "../format/format-size.ts";
import { writeList } from "../format/write-list.ts";
import { command } from "../report-error.ts";

export interface StatsFlags extends ManagerFlags {
  readonly quiet: boolean;
  readonly json: boolean;
  /** One look, then the end. */
  readonly once: boolean;
}

interface StatsLine extends TaskUsage {
  /** Of one processor, between two looks. */
  readonly cpuPercent: number;
}

const INTERVAL_MS = 1000;
const FIRST_INTERVAL_MS = 250;
const CLEAR_SCREEN = "\x1b[H\x1b[2J";

/** `trimaran stats`: once a second until SIGINT; drawn over on a terminal. */
export const stats = command<StatsFlags, string[]>("stats", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "read");
  const wanted = new Set<string>();
  for (const id of ids) wanted.add((await findContainer(client, id)).id);
  const stop = new AbortController();
  using _listening = context.signals.listen(["SIGINT", "SIGTERM"], () => stop.abort());
  let before = await look(client, wanted);
  for (let ms = FIRST_INTERVAL_MS; !stop.signal.aborted; ms = INTERVAL_MS) {
    await delay(ms, undefined, { signal: stop.signal }).catch(() => {});
    if (stop.signal.aborted) break;
    const now = await look(client, wanted);
    show(context, flags, client, toLines(before, now));
    if (flags.once) break;
    before = now;
  }
  return 0;
});

async function look(client: ManagerClient, wanted: ReadonlySet<string>): Promise<TaskUsage[]> {
  return (await taskUsages(client)).filter(({ id }) => wanted.size === 0 || wanted.has(id));
}

function toLines(before: readonly TaskUsage[], now: readonly TaskUsage[]): StatsLine[] {
  return now.map((usage) => {
    const earlier = before.find(({ id }) => id === usage.id) ?? usage;
    const [usedNs, passedNs] = [usage.cpuNs - earlier.cpuNs, usage.atNs - earlier.atNs];
    return { ...usage, cpuPercent: passedNs > 0n ? Math.max(0, (Number(usedNs) / Number(passedNs)) * 100) : 0 };
  });
}

function show(context: CliContext, flags: StatsFlags, client: ManagerClient, lines: readonly StatsLine[]): void {
  const { stdout } = context.process;
  if (stdout instanceof WriteStream && !flags.once && !flags.json) stdout.write(CLEAR_SCREEN);
  writeList(context, flags, lines, {
    head: ["ID", "CPU", "MEMORY", "LIMIT", "PIDS"],
    row: ({ id, cpuPercent, memoryBytes, memoryLimitBytes, pids }) => [
      id,
      `${cpuPercent.toFixed(1)} %`,
      formatSize(Number(memoryBytes)),
      memoryLimitBytes === undefined ? "-" : formatSize(Number(memoryLimitBytes)),
      String(pids),
    ],
    name: ({ id }) => id,
    json: ({ id, atNs, cpuNs, cpuPercent, memoryBytes, memoryLimitBytes, pids }) => {
      const at = new Date(Number(atNs / 1_000_000n)).toISOString();
      return { id, at, cpuNs, cpuPercent, memoryBytes, memoryLimitBytes, pids };
    },
    empty: `nothing runs in namespace ${client.namespace}: trimaran ps -a`,
  });
}
