import { closeSync, constants, openSync, readSync } from "node:fs";
import { errnoOf } from "../syscall/errno.ts";

/** The longest record that the kernel hands out. Source: CONSOLE_EXT_LOG_MAX. */
const RECORD_BYTES = 8192;
/** Between the log's clock and that of a process's start time. */
const CLOCK_SLACK_S = 1;

/**
 * How often, since `sinceS` (seconds since boot), the kernel's log says that the OOM killer has taken a process of this cgroup or of one below it. A
 * log that may not be read is none. The kernel writes ten such lines in 5 s at most. Source: the kernel's dev-kmsg ABI, and `oom-kill:` of mm/oom_kill.c.
 */
export function countLoggedOomKills(path: string, sinceS: number, log = "/dev/kmsg"): number {
  return records(log).filter((record) => isKillOf(record, path, sinceS)).length;
}

/** `PRIORITY,SEQUENCE,MICROSECONDS,FLAGS;oom-kill:constraint=…,task_memcg=/CGROUP,task=NAME,pid=…`. */
function isKillOf(record: string, path: string, sinceS: number): boolean {
  const [, microseconds, task] = /^\d+,\d+,(\d+)[^;]*;oom-kill:.*,task_memcg=(.*),task=/.exec(record) ?? [];
  if (microseconds === undefined || task === undefined || Number(microseconds) / 1e6 + CLOCK_SLACK_S < sinceS)
    return false;
  const at = task.indexOf(path); // where we are not at the root of all cgroups, the kernel knows it by a longer name
  return at >= 0 && (task.length === at + path.length || task[at + path.length] === "/");
}

function records(log: string): string[] {
  const found: string[] = [];
  let fd: number;
  try {
    fd = openSync(log, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return found;
  }
  try {
    const buffer = Buffer.allocUnsafe(RECORD_BYTES);
    for (;;) {
      const length = readRecord(fd, buffer);
      if (length === 0) return found;
      if (length > 0) found.push(buffer.toString("latin1", 0, length));
    }
  } finally {
    closeSync(fd);
  }
}

/** 0: there is no more; -1: it was overwritten in this moment, or is longer than any. */
function readRecord(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, null);
  } catch (error) {
    const errno = errnoOf(error);
    return errno === "EPIPE" || errno === "EINVAL" ? -1 : 0;
  }
}
