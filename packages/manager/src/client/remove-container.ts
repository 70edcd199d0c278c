import { rm } from "node:fs/promises";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { ClientContainer } from "./client-container.ts";
import { ClientTask } from "./client-task.ts";
import { disconnectContainer } from "./container-network.ts";
import { containerFolder, type ManagerClient } from "./manager-client.ts";

const SIGKILL = 9;

/**
 * Delete a container's task, if it has one, then its network, its snapshot, its record and the client's folder of it. A live task is
 * killed first if `force` is set, else it is FailedPrecondition. Safe to repeat after a failure.
 */
export async function removeContainer(
  client: ManagerClient,
  container: ClientContainer,
  force: boolean,
): Promise<void> {
  const task = new ClientTask(client, container.id);
  const status = await task.status();
  if (status !== undefined) {
    if (status.state !== "stopped") {
      if (!force) throw isAlive(container.id, status.state);
      await killTask(task, status.state === "paused");
    }
    await task.delete(false);
  }
  await removeRecord(client, container);
}

/** What stays of a container without a task. */
export async function removeRecord(client: ManagerClient, { id, rootfs, network }: ClientContainer): Promise<void> {
  const { snapshots, containers } = client.services;
  await disconnectContainer(client, id, network);
  if (rootfs.kind === "snapshot") {
    await snapshots.remove({ snapshotter: rootfs.snapshotter, key: rootfs.key }).catch(ignoreNotFound);
  }
  await containers.delete({ id }).catch(ignoreNotFound);
  await rm(containerFolder(client, id), { recursive: true, force: true });
}

/** SIGKILL to all processes, and wait. */
export async function killTask(task: ClientTask, isPaused: boolean): Promise<void> {
  if (isPaused) await task.resume().catch(() => {}); // a frozen process cannot die on cgroup v1
  const ended = task.wait();
  ended.catch(() => {}); // looked at below, unless the kill fails first
  await task.kill(SIGKILL, { all: true }).catch(ignoreNotFound);
  await ended;
}

function isAlive(id: string, state: string): ManagerError {
  return new ManagerError(Code.FailedPrecondition, `container ${JSON.stringify(id)}: it is ${state}`, {
    hint: `trimaran rm -f ${id}`,
  });
}

function ignoreNotFound(error: unknown): void {
  if (!hasCode(error, Code.NotFound)) throw error;
}
