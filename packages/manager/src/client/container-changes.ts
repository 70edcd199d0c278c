import { Code, ManagerError } from "../errors/manager-error.ts";
import { loadLayerLibc } from "../layers/libc.ts";
import type { ClientContainer } from "./client-container.ts";
import type { ManagerClient } from "./manager-client.ts";
import { type RootfsChange, rootfsChanges } from "./rootfs-changes.ts";
import { containerDirectories } from "./rootfs-directories.ts";

/** What a container has changed in its image. Throws FailedPrecondition for one that writes into its only directory. */
export async function* containerChanges(
  client: ManagerClient,
  container: ClientContainer,
): AsyncGenerator<RootfsChange> {
  const directories = await containerDirectories(client, container);
  if (directories.upper === undefined) {
    const message = `container ${JSON.stringify(container.id)}: its root file system is one directory, without layers`;
    throw new ManagerError(Code.FailedPrecondition, message);
  }
  yield* rootfsChanges(directories, loadLayerLibc());
}
