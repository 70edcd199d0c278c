import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Compression } from "./unpack/decompress.ts";

/** Of an uncompressed layer: what Apply answers. */
export const LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar";

/** OCI's types say with a suffix that a layer is compressed, and nothing about how. */
const OCI = /^application\/vnd\.oci\.image\.layer\.(nondistributable\.)?v1\.tar(\+gzip|\+zstd)?$/;
/** Docker's cannot be relied upon to say even that. */
const DOCKER = /^application\/vnd\.docker\.image\.rootfs\.(foreign\.)?diff\.tar(\.gzip|\.zstd)?$/;

/** Whether a layer of that type is taken as it is, its first bytes unseen. Throws Unknown for what is no layer: containerd says so. */
export function isPlainLayer(mediaType: string): boolean {
  const oci = OCI.exec(mediaType);
  if (oci !== null) return oci[2] === undefined;
  if (DOCKER.test(mediaType)) return false;
  throw new ManagerError(Code.Unknown, `no processor for media-type: ${JSON.stringify(mediaType)}`);
}

/** How a layer of that type is to be written; the default is gzip. Throws Unimplemented. */
export function diffCompression(mediaType: string): { readonly mediaType: string; readonly compression: Compression } {
  if (mediaType === "") return { mediaType: `${LAYER_MEDIA_TYPE}+gzip`, compression: "gzip" };
  if (mediaType === LAYER_MEDIA_TYPE) return { mediaType, compression: "none" };
  if (mediaType === `${LAYER_MEDIA_TYPE}+gzip`) return { mediaType, compression: "gzip" };
  if (mediaType === `${LAYER_MEDIA_TYPE}+zstd`) return { mediaType, compression: "zstd" };
  throw new ManagerError(Code.Unimplemented, `media_type ${JSON.stringify(mediaType)}: cannot be written`);
}
