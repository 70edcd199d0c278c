/** Media types of what a tag can point to. Sources: OCI image spec; distribution, "Image Manifest Version 2, Schema 2". */
export const MANIFEST_TYPES = [
  "application/vnd.oci.image.index.v1+json",
  "application/vnd.oci.image.manifest.v1+json",
  "application/vnd.docker.distribution.manifest.list.v2+json",
  "application/vnd.docker.distribution.manifest.v2+json",
] as const;

/** Whether a registry keeps it among manifests, rather than blobs. */
export function isKeptAsManifest(mediaType: string): boolean {
  return MANIFEST_TYPES.some((each) => each === mediaType);
}
