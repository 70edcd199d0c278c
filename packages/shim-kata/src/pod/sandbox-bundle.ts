import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CreateRequest, SandboxRequest } from "@trimaran/shim-core";
import type { GuestRequest } from "./guest.ts";

/** What a machine is made for that comes before its first container: a bundle without a process, written for it. */
export function sandboxGuest(request: SandboxRequest): GuestRequest {
  const { id, namespace, bundle, networkNamespace, annotations, options, pod } = request;
  const network = { type: "network", ...(networkNamespace !== "" && { path: networkNamespace }) };
  const namespaces = [{ type: "mount" }, { type: "uts" }, network]; // no spec goes without the first, and no hostname without the second
  const spec = {
    ociVersion: "1.1.0",
    ...(pod?.hostname && { hostname: pod.hostname }),
    annotations,
    linux: { cgroupsPath: `/${namespace}/${id}`, namespaces },
  };
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const stdio = { stdin: "", stdout: "", stderr: "", terminal: false };
  const owner: CreateRequest = { id, namespace, bundle, rootfs: [], stdio, options };
  return { owner, podId: id, spec };
}
