import { digestOf } from "../content/digest.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import type { ArchiveFiles, StoredFile } from "./archive-files.ts";
import { blobCompression, compressedTwin, compressLayer } from "./compress-layer.ts";
import { type Descriptor, invalid, type JsonObject, parseList, parseObject, toJson } from "./descriptor.ts";
import { parseConfig, parseJsonValue } from "./document.ts";
import { NAME_ANNOTATION } from "./image-names.ts";
import { ingestBlob } from "./ingest.ts";
import { MEDIA_TYPE } from "./media-types.ts";
import { readBlob } from "./read-blob.ts";
import type { TransferContext } from "./transfer-context.ts";

/**
 * The index that an archive of `docker save` lacks: a manifest per image is made from its manifest.json, and an index of them,
 * with one entry per tag. Both become blobs. Throws InvalidArgument with the field of manifest.json.
 */
export async function makeDockerIndex(
  context: TransferContext,
  archive: ArchiveFiles,
  manifestJson: Buffer,
  forceCompress: boolean,
): Promise<Descriptor> {
  const manifests: Descriptor[] = [];
  for (const [index, item] of parseList(parseJsonValue(manifestJson, "manifest.json"), "manifest.json").entries()) {
    const field = `manifest.json: [${index}]`;
    const image = parseObject(item, field);
    const descriptor = await makeManifest(context, archive, image, field, forceCompress);
    manifests.push(...tagged(descriptor, image, field));
  }
  const document = { schemaVersion: 2, manifests: manifests.map(toJson) };
  return storeDocument(context, "index", MEDIA_TYPE.index, document);
}

/** One descriptor per tag, with the full name; one without a name if there is no tag. */
function tagged(descriptor: Descriptor, image: JsonObject, field: string): Descriptor[] {
  const tags = parseList(image.RepoTags, `${field}.RepoTags`).map((tag, index) => {
    if (typeof tag !== "string") throw invalid(`${field}.RepoTags[${index}]`, "not a string");
    return parseReference(tag);
  });
  if (tags.length === 0) return [descriptor];
  return tags.map((reference) => {
    const named = {
      [NAME_ANNOTATION.name]: formatReference(reference),
      [NAME_ANNOTATION.reference]: reference.tag ?? reference.digest ?? "",
    };
    return { ...descriptor, annotations: named };
  });
}

async function makeManifest(
  context: TransferContext,
  archive: ArchiveFiles,
  image: JsonObject,
  field: string,
  forceCompress: boolean,
): Promise<Descriptor> {
  const configFile = requireFile(archive, image.Config, `${field}.Config`);
  const config = descriptorOf(MEDIA_TYPE.dockerConfig, configFile);
  const { platform } = parseConfig(await readBlob(context, config, "config"), `config ${config.digest}`);
  const layers: Descriptor[] = [];
  for (const [index, path] of parseList(image.Layers, `${field}.Layers`).entries()) {
    const file = requireFile(archive, path, `${field}.Layers[${index}]`);
    layers.push(await layerDescriptor(context, file, forceCompress));
  }
  const document = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.dockerManifest,
    config: toJson(config),
    layers: layers.map(toJson),
  };
  const manifest = await storeDocument(context, "manifest", MEDIA_TYPE.dockerManifest, document);
  return { ...manifest, platform };
}

/** The layer as it is, or a compressed blob of the same content that the store has already: docker's archives unpack layers. */
async function layerDescriptor(
  context: TransferContext,
  file: StoredFile,
  forceCompress: boolean,
): Promise<Descriptor> {
  const own = await blobCompression(context, file);
  const twin = own === "none" ? await compressedTwin(context, file) : undefined;
  const blob = twin ?? (own === "none" && forceCompress ? await compressLayer(context, file) : file);
  const compression = blob === file ? own : await blobCompression(context, blob);
  const suffix = compression === "none" ? "" : `.${compression}`;
  return descriptorOf(`${MEDIA_TYPE.dockerLayer}${suffix}`, blob);
}

async function storeDocument(
  context: TransferContext,
  kind: "index" | "manifest",
  mediaType: string,
  document: JsonObject,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes);
  await ingestBlob(context, {
    ref: `${kind}-${digest}`,
    what: `${kind} ${digest}`,
    sizeBytes: bytes.length,
    expected: digest,
    open: async function* (offset) {
      yield bytes.subarray(offset);
    },
  });
  return descriptorOf(mediaType, { digest, sizeBytes: bytes.length });
}

function requireFile(archive: ArchiveFiles, path: unknown, field: string): StoredFile {
  if (typeof path !== "string" || path === "") throw invalid(field, "not a string");
  const file = archive.file(path);
  if (file === undefined) throw invalid(field, `${JSON.stringify(path)} is not in the archive`);
  return file;
}

function descriptorOf(mediaType: string, { digest, sizeBytes }: StoredFile): Descriptor {
  return { mediaType, digest, size: sizeBytes, annotations: {}, platform: undefined };
}
