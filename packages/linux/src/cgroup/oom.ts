import { readIfPresent } from "./files.ts";
import type { CgroupMode } from "./host.ts";
import { readKeyed } from "./keyed.ts";

/**
 * What to wait on for OOM kills. eventfd: write `EFD FD_OF_OOM_CONTROL` to `eventControl`; it also fires when the cgroup is
 * removed. inotify: IN_MODIFY on `path`. Either way compare `oomKills` with the count before: only growth is an event.
 */
export type OomWatch =
  | { readonly kind: "eventfd"; readonly oomControl: string; readonly eventControl: string }
  | { readonly kind: "inotify"; readonly path: string };

/** The watch for a memory cgroup; undefined without one. */
export function toOomWatch(mode: CgroupMode, memory: string | undefined): OomWatch | undefined {
  if (memory === undefined) return undefined;
  if (mode === "v2") return { kind: "inotify", path: `${memory}/memory.events` };
  return {
    kind: "eventfd",
    oomControl: `${memory}/memory.oom_control`,
    eventControl: `${memory}/cgroup.event_control`,
  };
}

/** The kernel's count of OOM kills: memory.oom_control (4.13) or memory.events, `oom_kill`. */
export function readOomKills(mode: CgroupMode, memory: string | undefined): number {
  if (memory === undefined) return 0;
  const text = readIfPresent(`${memory}/${mode === "v2" ? "memory.events" : "memory.oom_control"}`);
  return parseOomKills(text);
}

/** The same, from the text of either file; 0 where it has no count. */
export function parseOomKills(text: string | undefined): number {
  return Number(readKeyed(text).get("oom_kill") ?? 0n);
}
