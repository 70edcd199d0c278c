import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { type FileHandle, open, realpath, stat } from "node:fs/promises";
import { Code, errnoOf, hasCode, ManagerError } from "../errors/manager-error.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import type { Rootfs } from "../snapshots/rootfs.ts";
import { importArchive } from "../transfer/import-archive.ts";
import { hostPlatform } from "../transfer/platform.ts";
import { getImage, type NamedImage, storeImage } from "../transfer/store-image.ts";
import type { TransferContext } from "../transfer/transfer-context.ts";

/** What a container is made from. */
export type ContainerSource =
  | { readonly kind: "directory"; readonly rootfs: Rootfs }
  | { readonly kind: "archive"; readonly path: string }
  | { readonly kind: "image"; readonly name: string };

/** Says of an image which file it was imported from: its path, inode, size and times, hashed. */
const ARCHIVE_LABEL = "trimaran/archive";

/**
 * What was typed: a directory is a root file system, to be put under an overlay or used as it is if `direct`; a file is an image
 * archive; anything else that does not look like a path is the name of an image. Throws NotFound, InvalidArgument.
 */
export async function parseSource(text: string, direct: boolean): Promise<ContainerSource> {
  const path = await existing(text);
  if (path === undefined) {
    if (!/^\.{0,2}\//.test(text) && !/\.(tar|tgz|gz|zst)$/.test(text)) return { kind: "image", name: text };
    throw new ManagerError(Code.NotFound, `image ${JSON.stringify(text)}: no such directory or archive`, {
      hint: "trimaran run DIRECTORY-OR-IMAGE COMMAND",
    });
  }
  const file = await stat(path);
  if (file.isDirectory()) {
    return { kind: "directory", rootfs: direct ? { kind: "direct", path } : { kind: "overlay", layers: [path] } };
  }
  if (!file.isFile()) throw refused(text, "neither a directory nor a file");
  if (direct) throw refused(text, "only a directory can be used as it is");
  return { kind: "archive", path };
}

/**
 * The image of a name: as it is in the store, or completed as docker does it (`busybox` is docker.io/library/busybox:latest). Throws
 * NotFound with the command that would get it.
 */
export async function findImage(context: TransferContext, name: string): Promise<NamedImage> {
  for (const candidate of [name, ...completed(name)]) {
    try {
      return await getImage(context, candidate);
    } catch (error) {
      if (!hasCode(error, Code.NotFound)) throw error;
    }
  }
  throw new ManagerError(Code.NotFound, `image ${JSON.stringify(name)}: not in the store`, {
    hint: `trimaran pull ${name}`,
  });
}

/**
 * The one image of an archive, under a name that its content gives: `imported/sha256:HEX` of its manifest. An archive that has not
 * changed since its import is not read again. Throws InvalidArgument if it has several for this machine.
 */
export async function importForRun(context: TransferContext, path: string): Promise<NamedImage> {
  const file = await open(path, "r");
  try {
    const identity = await fileIdentity(path, file);
    const { images } = await context.services.images.list({ filters: [`labels."${ARCHIVE_LABEL}"==${identity}`] });
    const known = images[0];
    if (known !== undefined) return await getImage(context, known.name);
    return await importFile(context, path, file, identity);
  } finally {
    await file.close();
  }
}

async function importFile(
  context: TransferContext,
  path: string,
  file: FileHandle,
  identity: string,
): Promise<NamedImage> {
  const images = await importArchive(context, {
    archive: createReadStream(path, { fd: file.fd, autoClose: false, start: 0, highWaterMark: 1 << 20 }),
    indexName: "",
    prefixes: [{ name: "imported", allowAnyName: true, addDigest: true, skipNamedDigest: false }],
    labels: {},
    platforms: [hostPlatform()],
    unpacks: [],
    forceCompress: false,
  });
  const byDigest = new Map(images.map((image) => [image.target.digest, image]));
  const [only, ...others] = byDigest.values();
  if (only === undefined || others.length > 0) {
    throw new ManagerError(
      Code.InvalidArgument,
      `image ${JSON.stringify(path)}: ${byDigest.size} images; one is needed`,
      {
        hint: `trimaran images import ${path}`,
      },
    );
  }
  const name = `imported@${only.target.digest}`;
  return storeImage(context, { name, target: only.target }, { [ARCHIVE_LABEL]: identity });
}

/** Changes when the file does. */
async function fileIdentity(path: string, file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return createHash("sha256").update([path, dev, ino, size, mtimeNs, ctimeNs].join("\0")).digest("hex");
}

async function existing(text: string): Promise<string | undefined> {
  try {
    return await realpath(text);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ENOTDIR" || errno === "ENAMETOOLONG") return undefined;
    throw error;
  }
}

function completed(name: string): string[] {
  try {
    const full = formatReference(parseReference(name));
    return full === name ? [] : [full];
  } catch {
    return []; // a store's names need not be a registry's
  }
}

function refused(text: string, why: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `image ${JSON.stringify(text)}: ${why}`);
}
