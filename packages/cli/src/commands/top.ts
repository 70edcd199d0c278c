import { readFile } from "node:fs/promises";
import { findContainer, requireTask } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { formatSize } from "../format/format-size.ts";
import { writeList } from "../format/write-list.ts";
import { command } from "../report-error.ts";

export interface TopFlags extends ManagerFlags {
  readonly quiet: boolean;
  readonly json: boolean;
}

interface ProcessLine {
  readonly pid: number;
  readonly ppid: number;
  readonly uid: number;
  readonly residentBytes: number;
  readonly threads: number;
  readonly command: string;
}

/** `trimaran top`: the processes of a container, by the host's pids. */
export const top = command<TopFlags, [string]>("top", async (context, flags, [idOrPrefix]) => {
  await using client = await context.openClient(flags, "read");
  const { id } = await findContainer(client, idOrPrefix);
  const pids = await (await requireTask(client, id)).pids();
  const lines = (await Promise.all(pids.map(readProcess))).filter((line) => line !== undefined);
  writeList(context, flags, lines, {
    head: ["PID", "PPID", "UID", "THREADS", "RSS", "COMMAND"],
    row: ({ pid, ppid, uid, threads, residentBytes, command: text }) => [
      ...[pid, ppid, uid, threads].map(String),
      formatSize(residentBytes),
      text,
    ],
    name: ({ pid }) => String(pid),
    json: (line) => line,
    // A virtual machine's processes are not the host's.
    empty: pids.length > 0 ? `${pids.length} processes that this host does not see: trimaran exec ${id} ps` : undefined,
  });
  return 0;
});

/** Undefined for one that has ended meanwhile. */
async function readProcess(pid: number): Promise<ProcessLine | undefined> {
  try {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const words = (await readFile(`/proc/${pid}/cmdline`, "utf8")).split("\0").filter(Boolean);
    const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1] ?? "";
    return {
      pid,
      ppid: Number(field("PPid")),
      uid: Number(field("Uid")),
      residentBytes: Number(field("VmRSS")) * 1024,
      threads: Number(field("Threads")),
      command: words.join(" ") || `[${field("Name")}]`,
    };
  } catch {
    return undefined;
  }
}
