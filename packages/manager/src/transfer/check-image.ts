import { Code, hasCode } from "../errors/manager-error.ts";
import { chainIds } from "./chain-id.ts";
import type { Descriptor } from "./descriptor.ts";
import { parseConfig } from "./document.ts";
import { type ImageNode, readTree, selectImages, storedDocuments } from "./image-tree.ts";
import { isNonDistributable } from "./media-types.ts";
import { hostPlatform, type Platform } from "./platform.ts";
import { hasBlob, readBlob } from "./read-blob.ts";
import type { NamedImage } from "./store-image.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

/** What is there of an image for one platform. */
export interface ImageStatus {
  /** Whether the platform's image can be run without a registry. */
  readonly isComplete: boolean;
  /** Blobs that the store lacks: the target itself, or parts of the platform's image. */
  readonly missing: readonly Descriptor[];
  /** Whether the snapshot with all its layers is there. */
  readonly isUnpacked: boolean;
}

/** What an image takes in the store. */
export interface ImageUsage {
  /** Of all its blobs, of all platforms, as far as they are there. */
  readonly contentBytes: number;
  /** Of the platform's snapshots. */
  readonly snapshotBytes: number;
}

/** Look what is there. An image that has nothing for the platform is not complete. */
export async function checkImage(
  context: TransferContext,
  image: NamedImage,
  snapshotter: string,
  platform: Platform = hostPlatform(),
): Promise<ImageStatus> {
  const node = await findImage(context, image, platform);
  if (node === undefined) return { isComplete: false, missing: [image.target], isUnpacked: false };
  const missing: Descriptor[] = [];
  for (const blob of [node.config, ...node.layers]) {
    if (!isNonDistributable(blob.mediaType) && !(await hasBlob(context, blob.digest))) missing.push(blob);
  }
  const top = missing.includes(node.config) ? undefined : (await chainOf(context, node)).at(-1);
  const isUnpacked = top !== undefined && (await snapshotBytes(context, snapshotter, top)) !== undefined;
  return { isComplete: missing.length === 0, missing, isUnpacked };
}

/** How much it takes. What several images share counts for each. */
export async function imageUsage(
  context: TransferContext,
  image: NamedImage,
  snapshotter: string,
  platform: Platform = hostPlatform(),
): Promise<ImageUsage> {
  const tree = await readTree(image.target, storedDocuments(context));
  const parts = [...tree.indexes, ...tree.images].map(({ descriptor }) => descriptor);
  const blobs = [...parts, ...tree.images.flatMap(({ config, layers }) => [config, ...layers])];
  const unique = new Map(blobs.map((blob) => [blob.digest, blob]));
  let contentBytes = 0;
  for (const { digest, size } of unique.values()) if (await hasBlob(context, digest)) contentBytes += size;
  const [node] = selectImages(tree, [platform]);
  let bytes = 0;
  const isReadable = node !== undefined && (await hasBlob(context, node.config.digest));
  for (const name of isReadable ? await chainOf(context, node) : []) {
    bytes += (await snapshotBytes(context, snapshotter, name)) ?? 0;
  }
  return { contentBytes, snapshotBytes: bytes };
}

async function findImage(
  context: TransferContext,
  { target }: NamedImage,
  platform: Platform,
): Promise<ImageNode | undefined> {
  try {
    return selectImages(await readTree(target, storedDocuments(context)), [platform])[0];
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

async function chainOf(context: TransferContext, { config }: ImageNode): Promise<string[]> {
  return chainIds(parseConfig(await readBlob(context, config, "config"), `config ${config.digest}`).diffIds);
}

async function snapshotBytes(context: TransferContext, snapshotter: string, key: string): Promise<number | undefined> {
  try {
    const { size } = await context.services.snapshots.usage({ snapshotter, key }, callOptions(context));
    return Number(size);
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}
