import { type ClientContainer, toClientContainer } from "./client-container.ts";
import { type ProcessState, toProcessStatus } from "./client-task.ts";
import type { ManagerClient } from "./manager-client.ts";

/** A container as `ps` shows it. */
export interface ContainerSummary {
  readonly container: ClientContainer;
  /** "new": it has never had a task, or its making was cut short. */
  readonly state: ProcessState | "new";
  /** Of a live first process. */
  readonly pid: number | undefined;
  readonly exitStatus: number | undefined;
}

/** All containers with their tasks' states, by time of creation. */
export async function listContainers({ services }: ManagerClient): Promise<ContainerSummary[]> {
  // Tasks first: a shim that is found dead leaves a note of its task's end in the container.
  const { tasks } = await services.tasks.list({ filter: "" });
  const { containers } = await services.containers.list({ filters: [] });
  const processes = new Map(tasks.map((process) => [process.id, toProcessStatus(process)]));
  return containers
    .map((record): ContainerSummary => {
      const container = toClientContainer(record);
      const status = processes.get(record.id);
      if (status !== undefined) {
        const { state, pid, exit } = status;
        return { container, state, pid: exit === undefined ? pid : undefined, exitStatus: exit?.status };
      }
      const { exit } = container;
      return { container, state: exit === undefined ? "new" : "stopped", pid: undefined, exitStatus: exit?.status };
    })
    .sort((a, b) => compare(a.container.createdAtNs, b.container.createdAtNs));
}

/** Containers that were to be removed at their end, and whose end nobody saw. */
export function isExpired({ container, state }: ContainerSummary): boolean {
  return container.autoRemove && state === "stopped";
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
