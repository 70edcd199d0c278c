import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { readTree, selectImages, storedDocuments } from "../transfer/image-tree.ts";
import { formatPlatform, hostPlatform } from "../transfer/platform.ts";
import { readBlob } from "../transfer/read-blob.ts";
import type { NamedImage } from "../transfer/store-image.ts";
import { callOptions, type TransferContext } from "../transfer/transfer-context.ts";
import { defaultSnapshotter, unpackImage } from "../transfer/unpack.ts";
import { type ContainerSource, findImage, importForRun } from "./container-source.ts";
import { type ImageWishes, parseImageWishes } from "./image-config.ts";
import type { ManagerClient } from "./manager-client.ts";
import { inTransfer, type TransferOptions } from "./transfer-scope.ts";

/** A writable snapshot on top of an image. */
export interface ImageSnapshot {
  /** The image's name in the store. */
  readonly image: string;
  readonly snapshotter: string;
  readonly wishes: ImageWishes;
}

/**
 * Unpack an image where need be and prepare a writable snapshot `key` on top of it, for `work` to put a container on record that
 * keeps it. If that fails the snapshot is removed.
 */
export async function withImageSnapshot<T>(
  client: ManagerClient,
  key: string,
  source: Exclude<ContainerSource, { kind: "directory" }>,
  options: TransferOptions,
  work: (snapshot: ImageSnapshot) => Promise<T>,
): Promise<T> {
  return inTransfer(client, options, async (context) => {
    const image = await (source.kind === "archive"
      ? importForRun(context, source.path)
      : findImage(context, source.name));
    const snapshotter = await snapshotterOf(context, client.namespace);
    const { parent, wishes } = await unpacked(context, image, snapshotter);
    await context.services.snapshots.prepare({ snapshotter, key, parent }, callOptions(context));
    try {
      return await work({ image: image.name, snapshotter, wishes });
    } catch (error) {
      await context.services.snapshots.remove({ snapshotter, key }).catch(() => {}); // the first error is the one to tell
      throw error;
    }
  });
}

/** The namespace's own, which need not exist yet. */
export async function snapshotterOf(context: TransferContext, namespace: string): Promise<string> {
  try {
    return await defaultSnapshotter(context, namespace);
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return "overlayfs";
    throw error;
  }
}

async function unpacked(
  context: TransferContext,
  image: NamedImage,
  snapshotter: string,
): Promise<{ readonly parent: string; readonly wishes: ImageWishes }> {
  const tree = await readTree(image.target, storedDocuments(context));
  const [node] = selectImages(tree, [hostPlatform()]);
  if (node === undefined) {
    const platform = formatPlatform(hostPlatform());
    throw new ManagerError(Code.NotFound, `image ${JSON.stringify(image.name)}: nothing for ${platform}`);
  }
  const parent = await unpackImage(context, node, snapshotter);
  const config = await readBlob(context, node.config, "config");
  return { parent, wishes: parseImageWishes(config, `config ${node.config.digest}`) };
}
