import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidSpec, parseSpec, type Spec } from "@trimaran/linux";

type JsonObject = Readonly<Record<string, unknown>>;

/** A bundle's config.json, checked, and as it is. */
export interface BundleConfig {
  readonly spec: Spec;
  readonly json: JsonObject;
}

/** What differs in the guest. */
export interface GuestPlaces {
  readonly id: string;
  /** Sources of bind mounts: path of the host to path of the guest. */
  readonly sources: ReadonlyMap<string, string>;
  /** Pid, in the guest, of the pod's first container, whose namespaces a further one may join. */
  readonly podPid?: number;
}

/** Limits that are about the host's hardware: the guest has its own. */
const HOST_RESOURCES = ["blockIO", "hugepageLimits", "network", "rdma", "devices"];
const HOST_CPU = ["cpus", "mems"];
/** Namespaces that a pod's containers share by a path. */
const SHARED = ["ipc", "uts", "pid"];
/** A pod's containers share it, and it is memory: so it is the guest's own. */
const SHM = "/dev/shm";

/** Read and check. Throws InvalidSpec naming the field. */
export function readConfig(bundle: string): BundleConfig {
  let text: string;
  try {
    text = readFileSync(join(bundle, "config.json"), "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec("config.json", `can't be read from the bundle ${bundle} (${why})`);
  }
  const spec = parseSpec(text);
  const json: unknown = JSON.parse(text);
  return { spec, json: object(json) };
}

/** Host paths that the container's bind mounts want, without those that the guest has itself. */
export function bindSources({ spec }: BundleConfig): string[] {
  return spec.mounts.flatMap(({ type, source, target, options }) =>
    isBind(type, options) && target !== SHM ? [source] : [],
  );
}

/**
 * config.json for the guest's engine. The network is the guest's own, cgroups begin at its root, LSM labels and the seccomp profile are the host kernel's business (as
 * upstream's `disable_guest_seccomp` has it by default), CPU sets and devices are those of the guest. Throws InvalidSpec on what can't be had there.
 */
export function toGuestSpec({ json }: BundleConfig, places: GuestPlaces): Uint8Array {
  const linux = object(json.linux);
  const root = object(json.root);
  const guest = {
    ...json,
    ...(json.process === undefined ? {} : { process: toGuestProcess(json.process) }),
    root: { path: "rootfs", readonly: root.readonly === true },
    mounts: list(json.mounts).map((mount) => toGuestMount(mount, places)),
    linux: {
      ...without(linux, ["seccomp", "mountLabel", "intelRdt"]),
      cgroupsPath: `/${places.id}`,
      namespaces: list(linux.namespaces).flatMap((namespace) => toGuestNamespace(namespace, places)),
      ...(linux.resources === undefined ? {} : { resources: toGuestResources(linux.resources) }),
    },
  };
  return Buffer.from(JSON.stringify(guest));
}

/** An OCI process without what only the host's kernel knows. */
export function toGuestProcess(value: unknown): JsonObject {
  return without(object(value), ["apparmorProfile", "selinuxLabel"]);
}

/** OCI resources without limits that are about the host's hardware. */
export function toGuestResources(value: unknown): JsonObject {
  const resources = object(value);
  const cpu = resources.cpu === undefined ? {} : { cpu: without(object(resources.cpu), HOST_CPU) };
  return { ...without(resources, HOST_RESOURCES), ...cpu };
}

function toGuestMount(value: unknown, { sources }: GuestPlaces): JsonObject {
  const mount = object(value);
  const options = list(mount.options).map(String);
  if (!isBind(String(mount.type ?? ""), options)) return mount;
  if (mount.destination === SHM) return { ...mount, source: SHM };
  const source = sources.get(String(mount.source));
  if (source === undefined) throw new InvalidSpec(`mounts ${String(mount.destination)}`, "its source is not shared");
  return { ...mount, source };
}

function toGuestNamespace(value: unknown, { podPid }: GuestPlaces): JsonObject[] {
  const { type, path } = object(value);
  if (type === "network") return [];
  if (typeof path !== "string" || path === "") return [{ type }];
  if (!SHARED.includes(String(type)))
    throw new InvalidSpec("linux.namespaces", `${String(type)}: a namespace of the host can't be joined from a guest`);
  return podPid === undefined ? [{ type }] : [{ type, path: `/proc/${podPid}/ns/${String(type)}` }];
}

function isBind(type: string, options: readonly string[]): boolean {
  return type === "bind" || options.includes("bind") || options.includes("rbind");
}

function without(from: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(from).filter(([key]) => !keys.includes(key)));
}

function object(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
