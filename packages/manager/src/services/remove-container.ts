import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { ContainerRecord } from "../stores/container-record.ts";
import type { Task } from "../tasks/task.ts";
import type { Containers } from "./containers.ts";
import type { Tasks } from "./tasks.ts";

const SIGKILL = 9;

/**
 * Delete a container's task, if it has one, and then the container. A live task is killed first if `force` is set, else it is
 * FailedPrecondition.
 */
export async function removeContainer(
  containers: Containers,
  tasks: Tasks,
  record: ContainerRecord,
  force: boolean,
): Promise<void> {
  const task = await tasks.get(record);
  if (task !== undefined) {
    try {
      await endTask(record, task, force);
      await task.delete();
    } finally {
      task.disconnect();
    }
  }
  await containers.remove(record.id);
}

async function endTask(record: ContainerRecord, task: Task, force: boolean): Promise<void> {
  const status = await task.status().catch((error: unknown) => {
    if (hasCode(error, Code.NotFound)) return undefined; // made by a Create that was cut short
    throw error;
  });
  if (status === undefined || status.state === "stopped") return;
  if (!force) {
    throw new ManagerError(Code.FailedPrecondition, `container ${JSON.stringify(record.id)}: it is ${status.state}`, {
      hint: `trimaran rm -f ${record.id}`,
    });
  }
  if (status.state === "paused") await task.resume().catch(() => {}); // a frozen process cannot die on cgroup v1
  const ended = task.wait();
  await task.kill(SIGKILL, { all: true }).catch((error: unknown) => {
    if (!hasCode(error, Code.NotFound)) throw error;
  });
  await ended;
}
