import type { versionV1 } from "@trimaran/proto";
import type { Implementation } from "../grpc/implementation.ts";

/** containerd.services.version.v1.Version. Clients print both, and warn if they are not their own. */
export function versionService(own: {
  readonly version: string;
  readonly revision: string;
}): Implementation<typeof versionV1> {
  return { version: () => own };
}
