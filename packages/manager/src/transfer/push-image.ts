import { Code, ManagerError } from "../errors/manager-error.ts";
import type { PushSource } from "../registry/push.ts";
import { formatReference } from "../registry/reference.ts";
import type { Registry } from "../registry/registry.ts";
import type { Descriptor } from "./descriptor.ts";
import { type ImageTree, readTree, selectImages, storedDocuments } from "./image-tree.ts";
import { inParallel } from "./in-parallel.ts";
import { addSource, sourcesOf } from "./labels.ts";
import { type BlobKind, isIndexType, isNonDistributable } from "./media-types.ts";
import { formatPlatform, type Platform } from "./platform.ts";
import { BlobProgress } from "./progress.ts";
import { blobChunks, hasBlob } from "./read-blob.ts";
import type { NamedImage } from "./store-image.ts";
import type { TransferContext } from "./transfer-context.ts";

/** A blob to push, and the manifest that names it. */
interface Part {
  readonly blob: Descriptor;
  readonly kind: BlobKind;
  readonly parent: Descriptor;
}

/**
 * Bring an image into a registry: blobs first, then manifests, then indexes, and its name last, so that nobody sees a part of it.
 * With platforms only the image that fits is pushed, without the index around it. Throws NotFound if the store lacks a blob.
 */
export async function pushImage(
  context: TransferContext,
  registry: Registry,
  image: NamedImage,
  platforms: readonly Platform[],
): Promise<Descriptor> {
  const reference = formatReference(registry.reference);
  await context.progress({ event: `Pushing to OCI Registry (${reference})` });
  const tree = await choose(context, image, platforms);
  const blobs = new Map<string, Part>();
  for (const { config, layers, descriptor: parent } of tree.images) {
    blobs.set(config.digest, { blob: config, kind: "config", parent });
    for (const blob of layers) {
      if (!isNonDistributable(blob.mediaType)) blobs.set(blob.digest, { blob, kind: "layer", parent });
    }
  }
  await requireWhole(
    context,
    tree,
    [...blobs.values()].map(({ blob }) => blob),
  );
  for (const { descriptor } of tree.images) await documentProgress(context, descriptor).state("waiting", 0);
  await inParallel(context, [...blobs.values()], (shared, part) => pushOne(shared, registry, part));
  const manifests = tree.images.map(({ descriptor }) => descriptor);
  const indexes = tree.indexes.map(({ descriptor }) => descriptor).reverse(); // inner ones first
  for (const descriptor of [...manifests, ...indexes]) {
    if (descriptor.digest !== tree.root.digest) await pushDocument(context, registry, descriptor, false);
  }
  await pushDocument(context, registry, tree.root, true);
  await context.progress({ event: `Completed push to OCI Registry (${reference})` });
  return tree.root;
}

async function choose(context: TransferContext, image: NamedImage, platforms: readonly Platform[]): Promise<ImageTree> {
  const tree = await readTree(image.target, storedDocuments(context));
  if (platforms.length === 0) return tree;
  const [chosen, ...others] = selectImages(tree, platforms);
  if (chosen !== undefined && others.length === 0) return { root: chosen.descriptor, indexes: [], images: [chosen] };
  const wanted = platforms.map(formatPlatform).join(", ");
  if (chosen === undefined) throw new ManagerError(Code.NotFound, `image ${image.name}: nothing for ${wanted}`);
  throw new ManagerError(
    Code.InvalidArgument,
    `image ${image.name}: one platform at most can be pushed, not ${wanted}`,
  );
}

/** Find out before the first byte goes out: a registry refuses an index of which something is missing. */
async function requireWhole(context: TransferContext, tree: ImageTree, blobs: readonly Descriptor[]): Promise<void> {
  const manifests = tree.indexes.flatMap((index) => index.manifests);
  for (const { digest, mediaType } of [...manifests, ...blobs]) {
    if (await hasBlob(context, digest)) continue;
    const message = `image ${tree.root.digest}: ${mediaType} ${digest} is not in the store (pull or push one platform?)`;
    throw new ManagerError(Code.NotFound, message);
  }
}

async function pushOne(context: TransferContext, registry: Registry, { blob, kind, parent }: Part): Promise<void> {
  const { host, repository } = registry.reference;
  const progress = new BlobProgress(context.progress, {
    name: `${kind}-${blob.digest}`,
    parents: [`manifest-${parent.digest}`],
    descriptor: blob,
    totalBytes: blob.size,
  });
  await progress.state("waiting", 0);
  const elsewhere = (await sourcesOf(context, blob.digest, host)).find((each) => each !== repository);
  const source = sourceOf(context, blob, (done) => progress.bytes("uploading", done));
  const outcome = await registry.pushBlob(source, elsewhere);
  await addSource(context, blob.digest, host, repository);
  await progress.state(outcome === "exists" ? "already exists" : "complete", blob.size);
}

async function pushDocument(
  context: TransferContext,
  registry: Registry,
  descriptor: Descriptor,
  isRoot: boolean,
): Promise<void> {
  const outcome = await registry.pushManifest(sourceOf(context, descriptor), isRoot);
  const event = outcome === "exists" ? "already exists" : "complete";
  await documentProgress(context, descriptor).state(event, descriptor.size);
}

function documentProgress({ progress }: TransferContext, descriptor: Descriptor): BlobProgress {
  const kind = isIndexType(descriptor.mediaType) ? "index" : "manifest";
  return new BlobProgress(progress, { name: `${kind}-${descriptor.digest}`, descriptor, totalBytes: descriptor.size });
}

function sourceOf(
  context: TransferContext,
  descriptor: Descriptor,
  onBytes?: (doneBytes: number) => Promise<void>,
): PushSource {
  const read = async function* (offset: number, length: number) {
    if (length === 0) return; // to the store, no length means all
    let done = offset;
    for await (const chunk of blobChunks(context, descriptor.digest, offset, length)) {
      yield chunk;
      done += chunk.length;
      await onBytes?.(done);
    }
  };
  const { digest, size, mediaType } = descriptor;
  return { digest, size, mediaType, read };
}
