import { Code, ManagerError } from "../errors/manager-error.ts";
import { formatReference, parseReference, type Reference } from "../registry/reference.ts";
import { type Descriptor, type JsonObject, toJson } from "./descriptor.ts";
import { NAME_ANNOTATION } from "./image-names.ts";
import { type ImageNode, type ImageTree, readTree, selectImages, storedDocuments } from "./image-tree.ts";
import { isNonDistributable, MEDIA_TYPE } from "./media-types.ts";
import { formatPlatform, hostPlatform, type Platform } from "./platform.ts";
import { blobChunks, blobSize } from "./read-blob.ts";
import type { NamedImage } from "./store-image.ts";
import { tarEnd, tarHeader, tarPadding } from "./tar-writer.ts";
import type { TransferContext } from "./transfer-context.ts";

/** What an archive is to have. */
export interface ExportRequest {
  readonly images: readonly NamedImage[];
  /** Only these, and an image that has none of them is an error, one of a single manifest, too; empty: all, and all must be there. */
  readonly platforms: readonly Platform[];
  /** Leave out manifest.json, which `docker load` reads. */
  readonly skipDockerManifest: boolean;
  /** Leave out layers that must not be passed on. */
  readonly skipNonDistributable: boolean;
}

/** One image with what is exported of it. */
interface Export {
  readonly image: NamedImage;
  readonly tree: ImageTree;
  readonly chosen: readonly ImageNode[];
}

/**
 * An archive of images, as a tar stream: an OCI layout, and manifest.json for docker. The same content gives the same bytes. Fails
 * with NotFound before the first byte if something is missing.
 */
export async function* exportArchive(
  context: TransferContext,
  request: ExportRequest,
): AsyncGenerator<Uint8Array, void> {
  await context.progress({ event: "Exporting" });
  const exports: Export[] = [];
  for (const image of request.images) exports.push(await readExport(context, image, request));
  const blobs = await collectBlobs(context, exports, request);
  yield* tarFile("oci-layout", { imageLayoutVersion: "1.0.0" });
  yield* tarFile("index.json", indexDocument(exports));
  if (!request.skipDockerManifest) yield* tarFile("manifest.json", dockerDocument(exports, request.platforms));
  yield tarHeader("blobs/", "directory", 0);
  let folder = "";
  for (const { digest, size } of blobs) {
    const path = blobPath(digest);
    const parent = path.slice(0, path.lastIndexOf("/") + 1);
    if (parent !== folder) yield tarHeader(parent, "directory", 0);
    folder = parent;
    yield* tarBlob(context, path, digest, size);
  }
  yield tarEnd();
  await context.progress({ event: "Completed export" });
}

async function readExport(context: TransferContext, image: NamedImage, request: ExportRequest): Promise<Export> {
  const tree = await readTree(image.target, storedDocuments(context));
  const chosen = selectImages(tree, request.platforms);
  if (chosen.length > 0 || request.platforms.length === 0) return { image, tree, chosen };
  const wanted = request.platforms.map(formatPlatform).join(", ");
  throw new ManagerError(Code.NotFound, `image ${image.name}: nothing for ${wanted} in the store`);
}

/** All blobs, each once, by digest. An index is exported whole, also when only some of its images are. */
async function collectBlobs(
  context: TransferContext,
  exports: readonly Export[],
  { skipNonDistributable, platforms }: ExportRequest,
): Promise<readonly Descriptor[]> {
  const blobs = new Map<string, Descriptor>();
  const add = async (descriptor: Descriptor, what: string) => {
    if (blobs.has(descriptor.digest)) return;
    const size = await blobSize(context, descriptor.digest, what);
    if (size !== descriptor.size) {
      throw new ManagerError(
        Code.DataLoss,
        `${what} ${descriptor.digest}: ${size} bytes instead of ${descriptor.size}`,
      );
    }
    blobs.set(descriptor.digest, descriptor);
  };
  for (const { tree, chosen } of exports) {
    for (const index of tree.indexes) {
      await add(index.descriptor, "index");
      if (platforms.length === 0) for (const child of index.manifests) await add(child, "manifest");
    }
    for (const { descriptor, config, layers } of chosen) {
      await add(descriptor, "manifest");
      await add(config, "config");
      for (const layer of layers) {
        if (!skipNonDistributable || !isNonDistributable(layer.mediaType)) await add(layer, "layer");
      }
    }
  }
  return [...blobs.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
}

function indexDocument(exports: readonly Export[]): JsonObject {
  const manifests = exports.map(({ image: { name, target } }) => {
    const reference = referenceOf(name);
    const annotations = {
      ...target.annotations,
      [NAME_ANNOTATION.name]: name,
      ...(reference !== undefined && { [NAME_ANNOTATION.reference]: reference.tag ?? reference.digest ?? "" }),
    };
    return toJson({ ...target, annotations });
  });
  return { schemaVersion: 2, mediaType: MEDIA_TYPE.index, manifests };
}

/** docker knows one platform per image: of several the one for this machine, or the first. */
function dockerDocument(exports: readonly Export[], platforms: readonly Platform[]): readonly JsonObject[] {
  const entries = new Map<string, { node: ImageNode; tags: string[] }>();
  for (const { image, tree, chosen } of exports) {
    const [own] = selectImages(tree, platforms.length > 0 ? platforms : [hostPlatform()]);
    const node = own ?? chosen[0];
    if (node === undefined) continue;
    const entry = entries.get(node.descriptor.digest) ?? { node, tags: [] };
    const reference = referenceOf(image.name);
    if (reference?.tag !== undefined) entry.tags.push(familiarName(reference));
    entries.set(node.descriptor.digest, entry);
  }
  return [...entries.values()].map(({ node, tags }) => ({
    Config: blobPath(node.config.digest),
    RepoTags: tags,
    Layers: node.layers.map(({ digest }) => blobPath(digest)),
  }));
}

/** A store's names need not be a registry's. */
function referenceOf(name: string): Reference | undefined {
  try {
    return parseReference(name);
  } catch {
    return undefined;
  }
}

/** As docker shows it: without Docker Hub's own parts. */
function familiarName(reference: Reference): string {
  return formatReference({ ...reference, digest: undefined }).replace(/^docker\.io\/(?:library\/)?/, "");
}

function blobPath(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function* tarFile(name: string, document: unknown): Generator<Uint8Array, void> {
  const bytes = Buffer.from(JSON.stringify(document));
  yield tarHeader(name, "file", bytes.length);
  yield bytes;
  yield tarPadding(bytes.length);
}

async function* tarBlob(
  context: TransferContext,
  path: string,
  digest: string,
  sizeBytes: number,
): AsyncGenerator<Uint8Array, void> {
  yield tarHeader(path, "file", sizeBytes);
  let length = 0;
  if (sizeBytes > 0) {
    for await (const chunk of blobChunks(context, digest)) {
      length += chunk.length;
      yield chunk;
    }
  }
  if (length !== sizeBytes) throw new ManagerError(Code.DataLoss, `${path}: ${length} bytes instead of ${sizeBytes}`);
  yield tarPadding(sizeBytes);
}
