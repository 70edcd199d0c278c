import { chmod, chown, mkdir, readdir, readFile, rename, rm, rmdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { writeVolatileFile } from "../host/atomic-file.ts";
import { mountPointsBelow } from "../host/mounts.ts";
import type { Syscalls } from "../host/syscalls.ts";
import { parseShimReply, type ShimEndpoint } from "../shims/shim-reply.ts";
import { awaitStartOutput } from "../shims/start-output.ts";
import { type Directories, layout } from "./directories.ts";
import type { Identifier } from "./identifier.ts";
import { mappedRootGid } from "./mapped-root.ts";

/** A directory that a shim is started in: config.json, rootfs/, work, log, and what the manager and the shim add. */
export interface Bundle {
  readonly namespace: string;
  readonly id: string;
  readonly path: string;
  readonly workPath: string;
}

/** Where a bundle is or would be. */
export function bundleAt(dirs: Directories, namespace: Identifier, id: Identifier): Bundle {
  return {
    namespace,
    id,
    path: join(layout.bundles(dirs, namespace), id),
    workPath: join(layout.bundleWorks(dirs, namespace), id),
  };
}

/**
 * Make a bundle as containerd does: 0700 (with a user namespace 0710, of its root's group), rootfs/ 0711, `work` to an emptied work directory, a `log` FIFO. `configJson` is
 * written as it is. Throws AlreadyExists if the id has a bundle; what a failure has made is removed again.
 */
export async function createBundle(bundle: Bundle, configJson: string | Uint8Array, syscalls: Syscalls): Promise<void> {
  await mkdir(join(bundle.path, ".."), { recursive: true, mode: 0o711 });
  await mkdir(bundle.path, { mode: 0o700 }).catch((error: unknown) => {
    if (errnoOf(error) !== "EEXIST") throw error;
    throw new ManagerError(Code.AlreadyExists, `task ${bundle.id}: already exists`, { cause: error });
  });
  try {
    await rm(bundle.workPath, { recursive: true, force: true });
    await mkdir(bundle.workPath, { recursive: true, mode: 0o711 });
    await symlink(bundle.workPath, join(bundle.path, "work"));
    const rootfs = join(bundle.path, "rootfs");
    await mkdir(rootfs);
    await chmod(rootfs, 0o711);
    syscalls.mkfifo(join(bundle.path, "log"), 0o700);
    await writeVolatileFile(join(bundle.path, "config.json"), configJson, 0o644);
    await admitMappedRoot(bundle.path, mappedRootGid(configJson));
  } catch (error) {
    await deleteBundle(bundle, syscalls).catch(() => {});
    throw error;
  }
}

async function admitMappedRoot(path: string, gid: number): Promise<void> {
  if (gid === 0) return;
  await chown(path, 0, gid);
  await chmod(path, 0o710);
}

/** Ids of the namespace's bundles. One that is half deleted (its name begins with a dot) is not listed. */
export async function listBundles(dirs: Directories, namespace: Identifier): Promise<string[]> {
  const names = await readdir(layout.bundles(dirs, namespace)).catch((error: unknown): string[] => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  return names.filter((name) => !name.startsWith("."));
}

/**
 * Unmount what is on rootfs/, remove it with a plain rmdir, so that nothing inside a mount that stays is ever deleted, then the
 * rest. Already gone is success.
 */
export async function deleteBundle(bundle: Bundle, syscalls: Syscalls): Promise<void> {
  const rootfs = join(bundle.path, "rootfs");
  for (const point of await mountPointsBelow(rootfs)) syscalls.umount(point);
  await rmdir(rootfs).catch(ignoreMissing);
  const doomed = join(bundle.path, "..", `.${bundle.id}`);
  await rm(doomed, { recursive: true, force: true });
  await rename(bundle.path, doomed).catch(ignoreMissing);
  await rm(doomed, { recursive: true, force: true });
  await rm(bundle.workPath, { recursive: true, force: true });
}

/** What a later process needs to find the shim again; written after `start`, before Create. */
export async function writeBootstrap(bundle: Bundle, endpoint: ShimEndpoint, binary: string): Promise<void> {
  await writeVolatileFile(join(bundle.path, "shim-binary-path"), binary);
  await writeVolatileFile(join(bundle.path, "bootstrap.json"), JSON.stringify(endpoint));
}

/**
 * `bootstrap.json`, or what `start` has printed if it was not written any more, or the `address` file of an older shim. Undefined
 * if the shim never came up.
 */
export async function readBootstrap(bundle: Bundle, syscalls: () => Syscalls): Promise<ShimEndpoint | undefined> {
  const written = await readIfThere(join(bundle.path, "bootstrap.json"));
  if (written !== undefined) return parseShimReply(written);
  const printed = await awaitStartOutput(bundle, syscalls());
  if (printed !== undefined && printed.length > 0) return parseShimReply(printed);
  const address = await readIfThere(join(bundle.path, "address"));
  return address === undefined ? undefined : parseShimReply(address);
}

/** The shim's binary as noted at its start. */
export async function readShimBinary(bundle: Bundle): Promise<string | undefined> {
  return (await readIfThere(join(bundle.path, "shim-binary-path")))?.toString("utf8");
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function ignoreMissing(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}
