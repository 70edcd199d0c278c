import { InvalidSpec } from "@trimaran/linux";
import type { GvisorSpec } from "./spec.ts";

/** Whether a container is its sandbox's first, or joins one; runsc goes by the same annotations. */
export type Membership =
  | { readonly kind: "alone" } // a sandbox of its own, and nobody joins
  | { readonly kind: "first" } // a pod's pause container: the sandbox begins and ends with it
  | { readonly kind: "member"; readonly sandboxId: string };

/** CRI's and CRI-O's names. */
const TYPES = ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"];
const SANDBOX_IDS = ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID"];

/** Throws InvalidSpec on a type that nobody knows, and on a member without a sandbox. */
export function membershipOf({ annotations }: GvisorSpec): Membership {
  const key = TYPES.find((name) => annotations[name] !== undefined);
  if (key === undefined) return { kind: "alone" };
  const type = annotations[key];
  if (type === "sandbox") return { kind: "first" };
  if (type !== "container") throw new InvalidSpec(`annotations ${key}`, "neither sandbox nor container", type);
  const sandboxId = SANDBOX_IDS.map((name) => annotations[name]).find((id) => id !== undefined && id !== "");
  if (sandboxId === undefined) throw new InvalidSpec(`annotations ${SANDBOX_IDS[0]}`, "is missing");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(sandboxId))
    throw new InvalidSpec(`annotations ${SANDBOX_IDS[0]}`, "not an identifier", sandboxId);
  return { kind: "member", sandboxId };
}
