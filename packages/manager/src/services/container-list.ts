import type { ContainerRecord } from "../stores/container-record.ts";
import type { TaskState } from "../tasks/task.ts";
import type { Containers } from "./containers.ts";
import type { Tasks } from "./tasks.ts";

/** A container as `ps` shows it. */
export interface ContainerSummary {
  readonly record: ContainerRecord;
  /** "new": it has never had a task, or its making was cut short. */
  readonly state: TaskState | "new";
  /** Of a live first process. */
  readonly pid: number | undefined;
  readonly exitStatus: number | undefined;
}

/**
 * All containers with their tasks' states, asked of all shims at once. A container that was to be removed at its end, and whose
 * end nobody saw, is removed on the way.
 */
export async function listContainers(containers: Containers, tasks: Tasks): Promise<ContainerSummary[]> {
  const summaries = await Promise.all((await containers.list()).map((record) => summarize(containers, tasks, record)));
  return summaries.filter((summary) => summary !== undefined);
}

async function summarize(
  containers: Containers,
  tasks: Tasks,
  record: ContainerRecord,
): Promise<ContainerSummary | undefined> {
  const task = await tasks.get(record).catch(() => "silent" as const);
  if (task === "silent") return { record, state: "unknown", pid: undefined, exitStatus: undefined };
  if (task === undefined) {
    const now = (await containers.find(record.id)) ?? record; // its end may just have been noted
    if (now.exit === undefined) return { record: now, state: "new", pid: undefined, exitStatus: undefined };
    if (now.autoRemove) return void (await containers.remove(record.id));
    return { record: now, state: "stopped", pid: undefined, exitStatus: now.exit.status };
  }
  try {
    const { state, pid, exit } = await task.status();
    if (exit === undefined) return { record, state, pid, exitStatus: undefined };
    if (!record.autoRemove) return { record, state, pid: undefined, exitStatus: exit.status };
    await task.delete();
    await containers.remove(record.id);
    return undefined;
  } catch {
    return { record, state: "unknown", pid: undefined, exitStatus: undefined };
  } finally {
    task.disconnect();
  }
}
