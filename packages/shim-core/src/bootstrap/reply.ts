import { containerd } from "@trimaran/proto";

/** The three forms of the reply on the stdout of `start`. Source: contract section 2.5. */
export type ReplyForm = "address" | "json" | "protobuf";

/**
 * Choose the reply that this daemon understands: protobuf where it sent BootstrapParams (2.3 and later), JSON version 3 for
 * containerd 2.0 to 2.2, else the address as text, which also 1.7 takes for version 2.
 */
export function replyForm(daemon: { bootstrapParams: boolean; majorVersion: number }): ReplyForm {
  if (daemon.bootstrapParams) return "protobuf";
  return daemon.majorVersion >= 2 ? "json" : "address";
}

/** The bytes of the reply; `address` is a `unix://` URI. Nothing else may go to stdout or stderr. */
export function encodeReply(form: ReplyForm, address: string): Uint8Array {
  switch (form) {
    case "address":
      return new TextEncoder().encode(address);
    case "json":
      return new TextEncoder().encode(JSON.stringify({ version: 3, address, protocol: "ttrpc" }));
    case "protobuf":
      return containerd.runtime.bootstrap.v1.BootstrapResult.encode({ version: 3, address, protocol: "ttrpc" });
  }
}
