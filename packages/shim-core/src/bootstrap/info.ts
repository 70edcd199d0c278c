import { ANY, containerd, packAny } from "@trimaran/proto";
import type { Runtime } from "../runtime.ts";

/** The answer to `-info`: an encoded RuntimeInfo. Source: contract, section 2.9. */
export function encodeInfo(runtime: Runtime): Uint8Array {
  const features = runtime.features?.();
  return containerd.types.RuntimeInfo.encode({
    name: runtime.name,
    version: { version: runtime.version, revision: "" },
    ...(features === undefined ? {} : { features: packAny(ANY.ociFeatures, Buffer.from(JSON.stringify(features))) }),
  });
}
