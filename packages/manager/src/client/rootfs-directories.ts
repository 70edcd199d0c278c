import { join } from "node:path";
import type { containerd } from "@trimaran/proto";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { parseOverlayOptions } from "../layers/mount/overlay-options.ts";
import { readLayeredFile } from "../snapshots/layered-file.ts";
import { rootfsMounts } from "../snapshots/rootfs-mounts.ts";
import type { OciUser } from "../spec/oci-spec.ts";
import { resolveUser } from "../spec/user.ts";
import type { ClientContainer, ContainerRootfs } from "./client-container.ts";
import { containerFolder, type ManagerClient } from "./manager-client.ts";

type Mount = containerd.types.Mount;

/** The directories that make a root file system, as long as nothing but we look at them: topmost first. */
export interface RootfsDirectories {
  /** What the container itself has written; undefined if it writes into the one directory that it has. */
  readonly upper: string | undefined;
  readonly lowers: readonly string[];
}

const ACCOUNT_FILE_LIMIT_BYTES = 1 << 20;

/** The mounts of a container's root file system, for Create. */
export async function rootfsMountsOf(client: ManagerClient, id: string, rootfs: ContainerRootfs): Promise<Mount[]> {
  switch (rootfs.kind) {
    case "snapshot":
      return (await client.services.snapshots.mounts({ snapshotter: rootfs.snapshotter, key: rootfs.key })).mounts;
    case "overlay":
    case "direct":
      return (await rootfsMounts(rootfs, containerFolder(client, id))).map((mount) => ({
        ...mount,
        options: [...mount.options],
      }));
    case "unknown":
      throw new ManagerError(Code.FailedPrecondition, `container ${JSON.stringify(id)}: it has no snapshot`);
  }
}

/** Take the mounts apart: an overlay, or one directory. */
export function directoriesOf(mounts: readonly Mount[]): RootfsDirectories {
  const [mount, ...others] = mounts;
  if (mount === undefined || others.length > 0) {
    throw new ManagerError(Code.Unimplemented, `root file system of ${mounts.length} mounts`);
  }
  if (mount.type === "overlay") {
    const { upper, lowers } = parseOverlayOptions(mount);
    return { upper, lowers };
  }
  return { upper: undefined, lowers: [mount.source] };
}

/** The directories of a container. */
export async function containerDirectories(
  client: ManagerClient,
  container: ClientContainer,
): Promise<RootfsDirectories> {
  return directoriesOf(await rootfsMountsOf(client, container.id, container.rootfs));
}

/** Numbers for `USER[:GROUP]`, by the account files as they are now in a root file system. */
export async function lookupUser(user: string, { upper, lowers }: RootfsDirectories): Promise<OciUser> {
  const layers = upper === undefined ? lowers : [upper, ...lowers];
  const read = (path: string) => readLayeredFile(layers, path, ACCOUNT_FILE_LIMIT_BYTES).catch(ignoreUnreadable);
  return resolveUser(user, { passwd: await read(join("etc", "passwd")), group: await read(join("etc", "group")) });
}

function ignoreUnreadable(error: unknown): undefined {
  if (errnoOf(error) !== "ENOTDIR" && errnoOf(error) !== "ELOOP") throw error;
  return undefined;
}
