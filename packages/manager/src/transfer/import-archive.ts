import { Code, ManagerError } from "../errors/manager-error.ts";
import { ArchiveFiles } from "./archive-files.ts";
import { type Descriptor, invalid } from "./descriptor.ts";
import { makeDockerIndex } from "./docker-index.ts";
import { type Index, parseDocument, parseJson } from "./document.ts";
import { gcLabels, labelTree } from "./gc-labels.ts";
import { type NamePrefix, namesOf } from "./image-names.ts";
import { type ImageNode, type ImageTree, readTree, selectImages, storedDocuments } from "./image-tree.ts";
import { labelBlob } from "./labels.ts";
import { isConfigType, isNonDistributable, MEDIA_TYPE } from "./media-types.ts";
import { formatPlatform, type Platform } from "./platform.ts";
import { hasBlob, readBlob } from "./read-blob.ts";
import { type NamedImage, storeImage } from "./store-image.ts";
import type { TransferContext } from "./transfer-context.ts";
import { unpackImage } from "./unpack.ts";
import { type UnpackRequest, unpackImages } from "./unpack-images.ts";

/** What to make of an archive. */
export interface ImportRequest {
  /** A tar stream, also a gzip or zstd one, cut anywhere. A chunk stays as it is when the next one is asked for. */
  readonly archive: AsyncIterable<Buffer>;
  /** Name for the archive's index as a whole; empty for none. */
  readonly indexName: string;
  readonly prefixes: readonly NamePrefix[];
  readonly labels: Readonly<Record<string, string>>;
  /** Only these, of the images that have several; empty: all. */
  readonly platforms: readonly Platform[];
  readonly unpacks: readonly UnpackRequest[];
  /** Give the plain layers of a docker archive a gzip form. */
  readonly forceCompress: boolean;
}

/** One entry of the archive's index: an image, of one platform or many. */
interface Entry {
  readonly descriptor: Descriptor;
  readonly tree: ImageTree;
  readonly chosen: readonly ImageNode[];
}

/**
 * Take an OCI layout, or what `docker save` writes, as a tar stream into the store, name its images and unpack them. The same
 * archive twice is no error. Throws InvalidArgument, NotFound for what the archive names and does not have, FailedPrecondition.
 */
export async function importArchive(context: TransferContext, request: ImportRequest): Promise<NamedImage[]> {
  await context.progress({ event: "Importing" });
  const archive = await ArchiveFiles.store(context, request.archive);
  const root = await findIndex(context, archive, request.forceCompress);
  const index = parseDocument(await readBlob(context, root, "index"), root.mediaType, `index ${root.digest}`) as Index;
  const entries = await readEntries(context, index, request.platforms);
  await labelBlob(context, root.digest, gcLabels(index));
  for (const { tree, chosen } of entries) await labelTree(context, { ...tree, images: chosen });
  const images: NamedImage[] = [];
  for (const image of named(root, entries, request)) {
    images.push(await storeImage(context, image, request.labels));
  }
  for (const { tree, chosen } of entries) {
    if (!isUndeclared(tree)) await unpackImages(context, tree, request.unpacks);
    else for (const { snapshotter } of request.unpacks) await unpackAll(context, chosen, snapshotter);
  }
  await context.progress({ event: "Completed import" });
  return images;
}

async function findIndex(context: TransferContext, archive: ArchiveFiles, forceCompress: boolean): Promise<Descriptor> {
  const layout = archive.document("oci-layout");
  const manifestJson = archive.document("manifest.json");
  const index = archive.file("index.json");
  if (layout !== undefined) checkLayout(layout);
  if (index !== undefined && (layout !== undefined || manifestJson === undefined)) {
    const { digest, sizeBytes } = index;
    return { mediaType: MEDIA_TYPE.index, digest, size: sizeBytes, annotations: {}, platform: undefined };
  }
  if (layout !== undefined) throw invalid("image archive", "an OCI layout without index.json");
  if (manifestJson !== undefined) return makeDockerIndex(context, archive, manifestJson, forceCompress);
  throw invalid("image archive", "neither index.json (OCI layout) nor manifest.json (docker save) is in it");
}

function checkLayout(bytes: Buffer): void {
  const { imageLayoutVersion } = parseJson(bytes, "oci-layout");
  if (imageLayoutVersion === "1.0.0") return;
  throw invalid("oci-layout: imageLayoutVersion", `${JSON.stringify(imageLayoutVersion)} is not 1.0.0`);
}

/**
 * All entries, with the images to take of each. An entry that has nothing for the platforms still gets its name, as with
 * containerd, but if that is so for all of them the archive is the wrong one. What is taken must be whole.
 */
async function readEntries(
  context: TransferContext,
  index: Index,
  platforms: readonly Platform[],
): Promise<readonly Entry[]> {
  const entries: Entry[] = [];
  for (const descriptor of index.manifests) {
    const tree = await readTree(descriptor, storedDocuments(context));
    const chosen = isUndeclared(tree) ? tree.images : selectImages(tree, platforms);
    for (const image of chosen) await requireBlobs(context, image);
    entries.push({ descriptor, tree, chosen });
  }
  if (index.manifests.length === 0) throw invalid("image archive", "no image is in it");
  if (entries.some(({ chosen }) => chosen.length > 0)) return entries;
  const wanted = platforms.map(formatPlatform).join(", ");
  throw new ManagerError(Code.NotFound, `image archive: no image for ${wanted} is in it`);
}

/** A single image whose entry does not say what it is for: who imports it wants it, whatever its config says. */
function isUndeclared({ root, indexes }: ImageTree): boolean {
  return indexes.length === 0 && root.platform === undefined;
}

async function requireBlobs(context: TransferContext, { descriptor, config, layers }: ImageNode): Promise<void> {
  for (const blob of [config, ...layers]) {
    if (isNonDistributable(blob.mediaType) || (await hasBlob(context, blob.digest))) continue;
    throw new ManagerError(
      Code.NotFound,
      `image archive: ${blob.mediaType} ${blob.digest} of manifest ${descriptor.digest}: not found`,
    );
  }
}

function named(root: Descriptor, entries: readonly Entry[], request: ImportRequest): NamedImage[] {
  const whole = request.indexName === "" ? [] : [{ name: request.indexName, target: root }];
  const single = entries.flatMap(({ descriptor }) =>
    namesOf(descriptor, request.prefixes).map((name) => ({ name, target: descriptor })),
  );
  return [...whole, ...single];
}

async function unpackAll(context: TransferContext, images: readonly ImageNode[], snapshotter: string): Promise<void> {
  for (const image of images) {
    if (isConfigType(image.config.mediaType)) await unpackImage(context, image, snapshotter);
  }
}
