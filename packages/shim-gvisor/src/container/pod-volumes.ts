import { globSync } from "node:fs";
import { InvalidSpec } from "@trimaran/linux";

/** The part of config.json that a pod's volumes are in. Whatever else there is stays as it is. */
export interface VolumeSpec {
  annotations?: Record<string, string>;
  mounts?: OciMount[];
}

interface OciMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
}

/** Hints to runsc about a volume: PREFIX NAME . (type | share | source | options). The sandbox's spec has those of the whole pod. */
const PREFIX = "dev.gvisor.spec.mount.";
const LOG_DIRECTORY = "io.kubernetes.cri.sandbox-log-directory";
const EMPTY_DIRECTORY = "kubernetes.io~empty-dir";
const SHM = "/dev/shm";
/** The name that gVisor's own shim gives to the hint for /dev/shm. */
const SHM_HINT = "gvisorinternaldevshm";
export const KUBELET_PODS = "/var/lib/kubelet/pods";

/**
 * Change a pod container's spec as gVisor's own shim does, so that runsc keeps in the sandbox what the pod shares: a memory of its own under
 * /dev/shm (CRI binds one of the host's, which programs inside can't map together), and the volumes that `dev.gvisor.spec.mount` annotations name,
 * for which a source is found. Doing it again changes nothing. Throws InvalidSpec on a volume that the kubelet does not have.
 */
export function adaptVolumes(spec: VolumeSpec, kind: "first" | "member", pods = KUBELET_PODS): void {
  const annotations = spec.annotations ?? {};
  for (const [key, type] of Object.entries(annotations)) {
    const name = /^([A-Za-z0-9-]+)\.type$/.exec(key.startsWith(PREFIX) ? key.slice(PREFIX.length) : "")?.[1];
    if (name === undefined || name === SHM_HINT) continue;
    if (kind === "first") completeHint(annotations, key, name, pods);
    else for (const mount of volumeMounts(spec, name, pods)) changeType(mount, type);
  }
  adaptShm(spec, annotations, kind);
  if (Object.keys(annotations).length > 0) spec.annotations = annotations;
}

/** The hint lacks the volume's place. What is empty at first is kept in memory: runsc tells by the mounts whether a disk backs it. */
function completeHint(annotations: Record<string, string>, key: string, name: string, pods: string): void {
  const uid = podUid(annotations);
  if (uid === undefined) return; // no kubelet has made this pod
  const found = globSync(`${pods}/${uid}/volumes/*/${name}`);
  const [path] = found;
  if (path === undefined || found.length > 1)
    throw new InvalidSpec(`annotations ${key}`, `${found.length} volumes of that name in ${pods}/${uid}/volumes`);
  annotations[`${PREFIX}${name}.source`] = path;
  if (path.includes(EMPTY_DIRECTORY)) annotations[key] = "tmpfs";
}

/** Of `NAMESPACE_NAME_UID`, or `UID` alone. */
function podUid(annotations: Readonly<Record<string, string>>): string | undefined {
  const parts = annotations[LOG_DIRECTORY]?.split("/").at(-1)?.split("_") ?? [];
  const uid = parts.length === 3 ? parts[2] : parts.length === 1 ? parts[0] : undefined;
  return uid !== undefined && /^[\w-]+$/.test(uid) ? uid : undefined;
}

/** A volume's name is its own within a pod, so that any pod's path will do. */
function volumeMounts({ mounts = [] }: VolumeSpec, name: string, pods: string): OciMount[] {
  return mounts.filter(({ source = "" }) => {
    const [, volumes, , volume, more] = source.startsWith(`${pods}/`) ? source.slice(pods.length + 1).split("/") : [];
    return volumes === "volumes" && volume === name && more === undefined;
  });
}

function adaptShm(spec: VolumeSpec, annotations: Record<string, string>, kind: "first" | "member"): void {
  const { mounts = [] } = spec;
  const bound = mounts.find(({ destination, type }) => destination === SHM && type === "bind");
  if (bound === undefined) return;
  const hint = { source: bound.source ?? "", type: "tmpfs", share: "pod", options: "rw" };
  if (kind === "first")
    for (const [field, value] of Object.entries(hint)) annotations[`${PREFIX}${SHM_HINT}.${field}`] = value;
  changeType(bound, "tmpfs");
  spec.mounts = mounts.filter((each) => each === bound || each.destination !== SHM || each.type !== "tmpfs");
}

function changeType(mount: OciMount, type: string): void {
  mount.type = type;
  if (type !== "bind") mount.options &&= mount.options.filter((each) => each !== "bind" && each !== "rbind");
}
