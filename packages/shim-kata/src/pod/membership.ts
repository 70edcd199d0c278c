import { InvalidSpec } from "@trimaran/linux";

/** Whether a container is its machine's first, or joins one. */
export type Membership =
  | { readonly kind: "alone" } // a machine of its own, and nobody joins
  | { readonly kind: "first" } // a pod's pause container: the machine begins and ends with it
  | { readonly kind: "member"; readonly podId: string };

/** CRI's and CRI-O's names. */
const TYPES = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
const POD_IDS = ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];

/** Throws InvalidSpec on a type that nobody knows, and on a member without a sandbox. */
export function membershipOf(annotations: ReadonlyMap<string, string>): Membership {
  const key = TYPES.find((name) => annotations.has(name));
  if (key === undefined) return { kind: "alone" };
  const type = annotations.get(key);
  if (type === "sandbox") return { kind: "first" };
  if (type !== "container") throw new InvalidSpec(`annotations ${key}`, "neither sandbox nor container", type);
  const podId = POD_IDS.map((name) => annotations.get(name)).find((id) => id !== undefined && id !== "");
  if (podId === undefined) throw new InvalidSpec(`annotations ${POD_IDS[0]}`, "is missing");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(podId))
    throw new InvalidSpec(`annotations ${POD_IDS[0]}`, "not an identifier", podId);
  return { kind: "member", podId };
}
