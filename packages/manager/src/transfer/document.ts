import { type Descriptor, invalid, type JsonObject, parseDescriptor, parseList, parseObject } from "./descriptor.ts";
import { isIndexType, isManifestType } from "./media-types.ts";
import { type Platform, parsePlatform } from "./platform.ts";

/** Manifests, configs and indexes are held in memory whole: longer ones are refused. */
export const DOCUMENT_LIMIT_BYTES = 8 << 20;
const CHILDREN_LIMIT = 2000;

/** A list of manifests, one per platform or more. */
export interface Index {
  readonly kind: "index";
  readonly manifests: readonly Descriptor[];
}

/** One image. */
export interface Manifest {
  readonly kind: "manifest";
  readonly config: Descriptor;
  /** Bottom up. */
  readonly layers: readonly Descriptor[];
}

/** What matters of an image's config. */
export interface ImageConfig {
  readonly platform: Platform | undefined;
  /** Digests of the uncompressed layers, bottom up. */
  readonly diffIds: readonly string[];
}

/**
 * What a manifest or an index says, by the media type that its descriptor gives it. A document that could be taken for both, or
 * that says to be another type, is refused: two readers must not see two images. Throws InvalidArgument; `what` names it.
 */
export function parseDocument(bytes: Uint8Array, mediaType: string, what: string): Index | Manifest {
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) {
    throw invalid(what, `media type ${JSON.stringify(mediaType)} is neither an index nor a manifest`);
  }
  const document = parseJson(bytes, what);
  const stated = document.mediaType;
  if (stated !== undefined && stated !== "" && stated !== mediaType) {
    throw invalid(
      `${what}: mediaType`,
      `${JSON.stringify(stated)} in the document, ${JSON.stringify(mediaType)} outside`,
    );
  }
  if (isIndexType(mediaType)) {
    refuseFields(document, ["config", "layers", "fsLayers"], what, "an index");
    return { kind: "index", manifests: descriptors(document.manifests, `${what}: manifests`) };
  }
  refuseFields(document, ["manifests", "fsLayers"], what, "a manifest");
  const config = parseDescriptor(document.config, `${what}: config`);
  return { kind: "manifest", config, layers: descriptors(document.layers, `${what}: layers`) };
}

/** Throws InvalidArgument. */
export function parseConfig(bytes: Uint8Array, what: string): ImageConfig {
  const document = parseJson(bytes, what);
  const rootfs = document.rootfs === undefined ? {} : parseObject(document.rootfs, `${what}: rootfs`);
  const diffIds = parseList(rootfs.diff_ids, `${what}: rootfs.diff_ids`).map((digest, index) => {
    if (typeof digest === "string") return digest;
    throw invalid(`${what}: rootfs.diff_ids[${index}]`, "not a string");
  });
  const named = typeof document.os === "string" && typeof document.architecture === "string";
  return { platform: named ? parsePlatform(document, what) : undefined, diffIds };
}

/** A JSON object of at most 8 MiB. Throws InvalidArgument. */
export function parseJson(bytes: Uint8Array, what: string): JsonObject {
  return parseObject(parseJsonValue(bytes, what), what);
}

/** Any JSON value. Throws InvalidArgument. */
export function parseJsonValue(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw invalid(what, "not JSON");
  }
}

function descriptors(value: unknown, field: string): Descriptor[] {
  const list = parseList(value, field);
  if (list.length > CHILDREN_LIMIT) throw invalid(field, `${list.length} of them; ${CHILDREN_LIMIT} at most`);
  return list.map((item, index) => parseDescriptor(item, `${field}[${index}]`));
}

function refuseFields(document: JsonObject, names: readonly string[], what: string, kind: string): void {
  const found = names.find((name) => document[name] !== undefined);
  if (found !== undefined) throw invalid(`${what}: ${found}`, `not in ${kind}`);
}
