import { createHash } from "node:crypto";
import { posix } from "node:path";
import { Code, StatusError } from "ttrpc-ts";

/** containerd's compiled-in directory for shim sockets. */
export const SOCKET_DIRECTORY = "/run/containerd/s";
/** sockaddr_un.sun_path less its NUL and one spare, as the Go shim limits it. */
const MAX_SOCKET_PATH = 106;

/**
 * Path of a pod's socket: SHA-256 of the joined gRPC address, namespace and group, in containerd's socket directory.
 * Throws InvalidArgument when it would not fit into a unix address. Source: contract section 2.6.
 */
export function socketPath(key: { address: string; namespace: string; group: string; socketDir?: string }): string {
  const name = createHash("sha256")
    .update(posix.join(key.address, key.namespace, key.group))
    .digest("hex");
  const path = posix.join(key.socketDir ?? SOCKET_DIRECTORY, name);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new StatusError(Code.InvalidArgument, `socket path ${path}: longer than ${MAX_SOCKET_PATH} bytes`);
  return path;
}
