import { type ImageArchive, invalid } from "./image-archive.ts";

/** An image in an archive: its config as JSON and its layers' members, bottom up. */
export interface ArchivedImage {
  readonly config: unknown;
  readonly layers: readonly string[];
}

const DIGEST = /^sha256:([0-9a-f]{64})$/;
const INDEX_DEPTH_LIMIT = 4;

/** The one image for `architecture` (OCI's name for it) in an OCI layout or a docker-save archive. Throws InvalidArgument. */
export async function findImage(archive: ImageArchive, architecture: string): Promise<ArchivedImage> {
  if (archive.has("index.json")) return findInIndex(archive, "index.json", undefined, architecture, 0);
  if (archive.has("manifest.json")) return findInDockerSave(archive);
  throw invalid("neither index.json (OCI layout) nor manifest.json (docker save) is in it");
}

async function findInIndex(
  archive: ImageArchive,
  name: string,
  digest: string | undefined,
  architecture: string,
  depth: number,
): Promise<ArchivedImage> {
  if (depth > INDEX_DEPTH_LIMIT) throw invalid(`${name}: indexes are nested too deep`);
  const document = object(await archive.json(name, digest), name);
  if (!Array.isArray(document.manifests)) return readManifest(archive, document, name);
  const candidates = document.manifests
    .map((item, index) => object(item, `${name}: manifests[${index}]`))
    .filter((descriptor) => fits(descriptor, architecture));
  const [only, ...others] = candidates;
  if (only === undefined) throw invalid(`${name}: no image for linux/${architecture}`);
  if (others.length > 0) throw invalid(`${name}: ${candidates.length} images; an archive of one is needed`);
  const child = text(only.digest, `${name}: digest`);
  return findInIndex(archive, blobName(child), child, architecture, depth + 1);
}

async function readManifest(
  archive: ImageArchive,
  manifest: Record<string, unknown>,
  name: string,
): Promise<ArchivedImage> {
  const config = text(object(manifest.config, `${name}: config`).digest, `${name}: config.digest`);
  const layers = list(manifest.layers, `${name}: layers`).map((layer, index) =>
    blobName(text(object(layer, `${name}: layers[${index}]`).digest, `${name}: layers[${index}].digest`)),
  );
  return { config: await archive.json(blobName(config), config), layers };
}

async function findInDockerSave(archive: ImageArchive): Promise<ArchivedImage> {
  const images = list(await archive.json("manifest.json"), "manifest.json");
  if (images.length !== 1) throw invalid(`manifest.json: ${images.length} images; an archive of one is needed`);
  const image = object(images[0], "manifest.json: [0]");
  const layers = list(image.Layers, "manifest.json: Layers").map((layer) => text(layer, "manifest.json: Layers"));
  return { config: await archive.json(text(image.Config, "manifest.json: Config")), layers };
}

/** A descriptor without a platform may be anything, so it is taken. An attestation says "unknown". */
function fits(descriptor: Record<string, unknown>, architecture: string): boolean {
  if (descriptor.platform === undefined) return true;
  const platform = object(descriptor.platform, "platform");
  return platform.os === "linux" && platform.architecture === architecture;
}

function blobName(digest: string): string {
  const hex = DIGEST.exec(digest)?.[1];
  if (hex === undefined) throw invalid(`digest ${JSON.stringify(digest)}: not a sha256`);
  return `blobs/sha256/${hex}`;
}

export function object(value: unknown, field: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalid(`${field}: not an object`);
}

export function list(value: unknown, field: string): unknown[] {
  if (Array.isArray(value)) return value;
  throw invalid(`${field}: not a list`);
}

export function text(value: unknown, field: string): string {
  if (typeof value === "string") return value;
  throw invalid(`${field}: not a string`);
}
