import { anyTypeName, containerd, type google } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";

const { ImageExportStream, ImageImportStream, ImageStore, OCIRegistry } = containerd.types.transfer;

/** Where images come from or go to. */
export type TransferEnd =
  | { readonly kind: "store"; readonly store: containerd.types.transfer.ImageStore }
  | { readonly kind: "import"; readonly archive: containerd.types.transfer.ImageImportStream }
  | { readonly kind: "export"; readonly archive: containerd.types.transfer.ImageExportStream }
  | { readonly kind: "registry"; readonly registry: containerd.types.transfer.OCIRegistry };

/** From the wire. Throws InvalidArgument if it is missing, Unimplemented for an end that we do not know. */
export function parseEnd(any: google.protobuf.Any | undefined, field: string): TransferEnd {
  if (any === undefined) throw new ManagerError(Code.InvalidArgument, `${field}: missing`);
  const name = anyTypeName(any);
  switch (name) {
    case "containerd.types.transfer.ImageStore":
      return { kind: "store", store: ImageStore.decode(any.value) };
    case "containerd.types.transfer.ImageImportStream":
      return { kind: "import", archive: ImageImportStream.decode(any.value) };
    case "containerd.types.transfer.ImageExportStream":
      return { kind: "export", archive: ImageExportStream.decode(any.value) };
    case "containerd.types.transfer.OCIRegistry":
      return { kind: "registry", registry: OCIRegistry.decode(any.value) };
    default:
      throw new ManagerError(
        Code.Unimplemented,
        `${field}: a transfer with ${JSON.stringify(name)} is not implemented`,
      );
  }
}
