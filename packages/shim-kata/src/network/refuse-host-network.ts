import { statSync } from "node:fs";
import { InvalidSpec, type Spec } from "@trimaran/linux";

/** The error of whoever asks for the host's network. */
export function hostNetworkRefused(field: string, path?: string): InvalidSpec {
  const why = "the host's network can't be had: a machine has a network of its own (hostNetwork, --net-host)";
  return new InvalidSpec(field, path === undefined ? `no network namespace: ${why}` : why, path);
}

/** Throws InvalidSpec where a container asks for the network that this process has, or for one that is not there: what starts in a machine can't see it. */
export function refuseHostNetwork({ linux: { namespaces } }: Pick<Spec, "linux">): void {
  const network = namespaces.get("network");
  if (network === undefined) throw hostNetworkRefused("linux.namespaces");
  const { path, index } = network;
  if (path === undefined) return;
  const field = `linux.namespaces[${index}].path`;
  const there = statSync(path, { throwIfNoEntry: false });
  if (there === undefined) throw new InvalidSpec(field, "network namespace: does not exist", path);
  const own = statSync("/proc/thread-self/ns/net");
  if (there.ino === own.ino && there.dev === own.dev) throw hostNetworkRefused(field, path);
}
