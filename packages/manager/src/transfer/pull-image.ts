import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { formatReference } from "../registry/reference.ts";
import type { Registry } from "../registry/registry.ts";
import { type Descriptor, invalid } from "./descriptor.ts";
import { DOCUMENT_LIMIT_BYTES } from "./document.ts";
import { labelTree } from "./gc-labels.ts";
import { type DocumentReader, type ImageNode, readTree, selectImages } from "./image-tree.ts";
import { inParallel } from "./in-parallel.ts";
import { ingestBlob } from "./ingest.ts";
import { addSource } from "./labels.ts";
import { type BlobKind, isConfigType, isIndexType, isManifestType } from "./media-types.ts";
import { formatPlatform, type Platform, selectByPlatform } from "./platform.ts";
import { BlobProgress } from "./progress.ts";
import { readBlob } from "./read-blob.ts";
import { type NamedImage, storeImage } from "./store-image.ts";
import type { TransferContext } from "./transfer-context.ts";
import { type UnpackRequest, unpackImages } from "./unpack-images.ts";

/** What to take of an image, and what to do with it. */
export interface PullRequest {
  /** Name in the store. */
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Layers of these; empty: of all. */
  readonly platforms: readonly Platform[];
  /** Manifests and configs of the other platforms, too. */
  readonly allMetadata: boolean;
  readonly unpacks: readonly UnpackRequest[];
}

/**
 * Bring an image from a registry into the store, name it and unpack it. Blobs that the store has are not fetched, halves of blobs
 * are completed. Throws NotFound, Unauthenticated, InvalidArgument for documents that are no image, FailedPrecondition for content
 * that does not have its digest.
 */
export async function pullImage(
  context: TransferContext,
  registry: Registry,
  request: PullRequest,
): Promise<NamedImage> {
  const reference = formatReference(registry.reference);
  await context.progress({ event: `Resolving from OCI Registry (${reference})` });
  const resolved = await registry.resolve();
  const root = parseRoot(resolved, reference);
  await context.progress({ event: `Pulling from OCI Registry (${reference})` });
  await context.progress({ event: "fetching image content", name: reference, descriptor: root });
  const { platforms, allMetadata } = request;
  const choose = (manifests: readonly Descriptor[]) =>
    allMetadata ? manifests : selectByPlatform(manifests, platforms, ({ platform }) => platform);
  const tree = await readTree(root, fetchedDocuments(context, registry, reference), choose);
  const chosen = selectImages(tree, platforms);
  if (chosen.length === 0) {
    const wanted = platforms.map(formatPlatform).join(", ");
    throw new ManagerError(Code.NotFound, `${reference}: no image for ${wanted || "any platform"}`);
  }
  await fetchConfigs(context, registry, allMetadata ? tree.images : chosen, chosen);
  await fetchLayers(context, registry, chosen);
  await labelTree(context, tree);
  const image = await storeImage(context, { name: request.name, target: root }, request.labels);
  await unpackImages(context, tree, request.unpacks);
  await context.progress({ event: `Completed pull from OCI Registry (${reference})` });
  return image;
}

/** Of what is not chosen, only the configs of images, and as far as the registry has them. */
async function fetchConfigs(
  context: TransferContext,
  registry: Registry,
  images: readonly ImageNode[],
  chosen: readonly ImageNode[],
): Promise<void> {
  for (const image of images) {
    const { config, descriptor } = image;
    const isChosen = chosen.includes(image);
    if (!isChosen && !isConfigType(config.mediaType)) continue;
    await fetchBlob(context, registry, config, "config", nodeName("manifest", descriptor)).catch((error: unknown) => {
      if (isChosen || !hasCode(error, Code.NotFound)) throw error;
    });
  }
}

async function fetchLayers(context: TransferContext, registry: Registry, chosen: readonly ImageNode[]): Promise<void> {
  const layers = new Map(chosen.flatMap((image) => image.layers.map((layer) => [layer.digest, { layer, image }])));
  for (const { layer, image } of layers.values()) await report(context, layer, "waiting", image);
  await inParallel(context, [...layers.values()], (shared, { layer, image }) =>
    fetchBlob(shared, registry, layer, "layer", nodeName("manifest", image.descriptor)),
  );
}

function parseRoot(target: { mediaType: string; digest: string; size: number }, reference: string): Descriptor {
  const { mediaType, digest, size } = target;
  if (isIndexType(mediaType) || isManifestType(mediaType)) {
    return { mediaType, digest: digest as Descriptor["digest"], size, annotations: {}, platform: undefined };
  }
  throw invalid(reference, `media type ${JSON.stringify(mediaType)} is neither an index nor a manifest that we know`);
}

/** Documents come into the store first, and are read from there. */
function fetchedDocuments(context: TransferContext, registry: Registry, reference: string): DocumentReader {
  return async (descriptor, kind, parent) => {
    if (descriptor.size > DOCUMENT_LIMIT_BYTES) {
      throw invalid(`${kind} ${descriptor.digest}`, `${descriptor.size} bytes; ${DOCUMENT_LIMIT_BYTES} at most`);
    }
    await fetchBlob(
      context,
      registry,
      descriptor,
      kind,
      parent === undefined ? reference : nodeName(parent.kind, parent.descriptor),
    );
    return readBlob(context, descriptor, kind);
  };
}

async function fetchBlob(
  context: TransferContext,
  registry: Registry,
  descriptor: Descriptor,
  kind: BlobKind,
  parent: string,
): Promise<void> {
  const { digest, size } = descriptor;
  const progress = blobProgress(context, descriptor, kind, parent);
  const ingested = await ingestBlob(context, {
    ref: `${kind}-${digest}`,
    what: `${kind} ${digest}`,
    sizeBytes: size,
    expected: digest,
    open: (offset) => registry.fetch(descriptor, offset),
    onBytes: (done) => progress.bytes("downloading", done),
  });
  await addSource(context, digest, registry.reference.host, registry.reference.repository);
  await progress.state(ingested.existed ? "already exists" : "complete", size);
}

/** The name of a blob where progress is shown as a tree. */
function nodeName(kind: BlobKind, { digest }: Descriptor): string {
  return `${kind}-${digest}`;
}

function blobProgress(context: TransferContext, descriptor: Descriptor, kind: BlobKind, parent: string): BlobProgress {
  const name = nodeName(kind, descriptor);
  return new BlobProgress(context.progress, { name, parents: [parent], descriptor, totalBytes: descriptor.size });
}

async function report(context: TransferContext, layer: Descriptor, event: string, image: ImageNode): Promise<void> {
  await blobProgress(context, layer, "layer", nodeName("manifest", image.descriptor)).state(event, 0);
}
