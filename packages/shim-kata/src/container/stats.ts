import { ANY, anyTypeName, type google, io, packAny } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";

/**
 * The metrics that the guest's engine sends, of its cgroups: v2 in our guests. Decoded and encoded again: a guest may send anything. Throws Unavailable on
 * another type, WireError on bad bytes.
 */
export function checkStats(any: google.protobuf.Any | undefined): google.protobuf.Any {
  const { v1, v2 } = io.containerd.cgroups;
  const value = any?.value ?? new Uint8Array(0);
  switch (anyTypeName(any)) {
    case ANY.cgroupV2Metrics:
      return packAny(ANY.cgroupV2Metrics, v2.Metrics.encode(v2.Metrics.decode(value)));
    case ANY.cgroupV1Metrics:
      return packAny(ANY.cgroupV1Metrics, v1.Metrics.encode(v1.Metrics.decode(value)));
    default:
      throw new StatusError(Code.Unavailable, "agent: stats of an unknown type");
  }
}
