import { mkdir } from "node:fs/promises";
import { inSpan } from "@trimaran/proto";
import { Code, hasCode } from "../errors/manager-error.ts";
import type { TaskIo } from "../tasks/task-io.ts";
import { type ClientContainer, specText } from "./client-container.ts";
import { ClientTask } from "./client-task.ts";
import { connectContainer, disconnectContainer } from "./container-network.ts";
import { containerFolder, type ManagerClient } from "./manager-client.ts";
import { rootfsMountsOf } from "./rootfs-directories.ts";

/** Connect the network, and create the container's task; it still has to be started. After a failure nothing of both stays. */
export async function createTask(client: ManagerClient, container: ClientContainer, io: TaskIo): Promise<ClientTask> {
  const { id, rootfs, network, logPath } = container;
  if (logPath !== undefined || rootfs.kind === "overlay") {
    await mkdir(containerFolder(client, id), { recursive: true, mode: 0o711 });
  }
  await inSpan("connect the network", () => connectContainer(client, container, hostnameOf(container)));
  try {
    const mounts = await rootfsMountsOf(client, id, rootfs);
    await inSpan("create", () => client.services.tasks.create({ containerId: id, rootfs: mounts, ...io }));
  } catch (error) {
    if (!hasCode(error, Code.AlreadyExists)) await disconnectContainer(client, id, network).catch(() => {});
    throw error;
  }
  return new ClientTask(client, id);
}

/** Delete a container's stopped task, note how it ended unless nobody will ask, and let go of its network. */
export async function deleteTask(
  client: ManagerClient,
  task: ClientTask,
  network: string | undefined,
  isNoted = true,
): Promise<void> {
  await task.delete(isNoted);
  await disconnectContainer(client, task.id, network);
}

function hostnameOf({ id, record }: ClientContainer): string {
  const spec: unknown = JSON.parse(specText(record) ?? "{}");
  const { hostname } = spec as { readonly hostname?: unknown };
  return typeof hostname === "string" && hostname !== "" ? hostname : id;
}
