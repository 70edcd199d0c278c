import { realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import type { ImageDefaults } from "../spec/container-options.ts";
import { NO_IMAGE_DEFAULTS } from "../spec/container-options.ts";
import type { Rootfs } from "../stores/container-record.ts";

/** What a container can be made from: directories, topmost first, and the image's own wishes. */
export interface ResolvedImage {
  readonly rootfs: Rootfs;
  readonly defaults: ImageDefaults;
}

/** Unpacks an image archive and remembers it; see `ImageStore`. */
export interface ImageImporter {
  importArchive(path: string): Promise<{ readonly layers: readonly string[]; readonly defaults: ImageDefaults }>;
}

/**
 * A directory is a rootfs, taken as the lower layer (or, if `direct`, as it is); a file is an image archive. Throws NotFound or
 * InvalidArgument.
 */
export async function resolveImage(
  reference: string,
  direct: boolean,
  importer: ImageImporter,
): Promise<ResolvedImage> {
  const path = await realpath(reference).catch((cause: unknown) => {
    if (errnoOf(cause) !== "ENOENT" && errnoOf(cause) !== "ENOTDIR") throw cause;
    throw new ManagerError(Code.NotFound, `image ${JSON.stringify(reference)}: no such directory or archive`, {
      cause,
      hint: "trimaran run DIRECTORY-OR-IMAGE.tar COMMAND",
    });
  });
  const file = await stat(path);
  if (file.isDirectory()) {
    const rootfs: Rootfs = direct ? { kind: "direct", path } : { kind: "overlay", layers: [path] };
    return { rootfs, defaults: NO_IMAGE_DEFAULTS };
  }
  if (!file.isFile())
    throw new ManagerError(Code.InvalidArgument, `image ${JSON.stringify(reference)}: neither a directory nor a file`);
  if (direct)
    throw new ManagerError(
      Code.InvalidArgument,
      `image ${JSON.stringify(reference)}: only a directory can be used as it is`,
    );
  const { layers, defaults } = await importer.importArchive(path);
  return { rootfs: { kind: "overlay", layers }, defaults };
}

/** The directories to look a file up in before anything is mounted, topmost first. */
export function rootfsLayers(rootfs: Rootfs, containerFolder?: string): readonly string[] {
  if (rootfs.kind === "direct") return [rootfs.path];
  return containerFolder === undefined ? rootfs.layers : [join(containerFolder, "fs"), ...rootfs.layers];
}
