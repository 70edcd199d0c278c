/** Media types that we write ourselves. */
export const MEDIA_TYPE = {
  index: "application/vnd.oci.image.index.v1+json",
  config: "application/vnd.oci.image.config.v1+json",
  manifest: "application/vnd.oci.image.manifest.v1+json",
  dockerIndex: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
} as const;

/** What a blob is within an image. The names are also those of ingests and of progress: `layer-sha256:…`. */
export type BlobKind = "index" | "manifest" | "config" | "layer";

/** Whether a media type is that of a list of manifests. */
export function isIndexType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.index || mediaType === MEDIA_TYPE.dockerIndex;
}

/** Whether a media type is that of a manifest of one image (or artifact). */
export function isManifestType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.manifest || mediaType === MEDIA_TYPE.dockerManifest;
}

/** Whether a layer may be kept out of registries and archives. */
export function isNonDistributable(mediaType: string): boolean {
  return mediaType.includes(".nondistributable.") || mediaType.includes(".rootfs.foreign.");
}

/** Whether a manifest's child is a layer: other things hang on manifests, too, attestations for one. */
export function isLayerType(mediaType: string): boolean {
  return /^application\/vnd\.(?:oci\.image\.layer|docker\.image\.rootfs)\./.test(mediaType);
}

/** Whether a manifest's child is the config of an image. */
export function isConfigType(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.config || mediaType === MEDIA_TYPE.dockerConfig;
}
