import { readlink } from "node:fs/promises";

/** The kinds of namespace that /proc/PID/ns has a link for. */
export const NAMESPACES = ["mnt", "uts", "ipc", "pid", "net", "user", "cgroup", "time"] as const;

/** Inode numbers of a process's namespaces, by kind; "-" for one that this kernel does not have. */
export async function readNamespaces(pid: number | "self"): Promise<ReadonlyMap<string, string>> {
  const entries = NAMESPACES.map(async (kind): Promise<[string, string]> => {
    const link = await readlink(`/proc/${pid}/ns/${kind}`).catch(() => "");
    return [kind, /\[(\d+)\]/.exec(link)?.[1] ?? "-"];
  });
  return new Map(await Promise.all(entries));
}

/** One row per kind: what the host has, whether init's is another, and whether the exec joined init's. */
export function compareNamespaces(
  host: ReadonlyMap<string, string>,
  init: ReadonlyMap<string, string>,
  exec: ReadonlyMap<string, string>,
): string[][] {
  return NAMESPACES.map((kind) => {
    const [a = "-", b = "-", c = "-"] = [host.get(kind), init.get(kind), exec.get(kind)];
    return [kind, a, `${b} ${a === b ? "host's" : "new"}`, `${c} ${b === c ? "same as init" : "DIFFERS"}`];
  });
}
