import { InvalidSpec } from "@trimaran/linux";
import type { GuestDisk } from "./disks.ts";
import { type JsonObject, list, object, text, without } from "./json.ts";
import { guestPath } from "./layout.ts";
import { GUEST_SHM, isBind, type Volume } from "./volumes.ts";

/** What differs in the guest besides paths. */
export interface GuestPlaces {
  readonly id: string;
  /** As `planVolumes` gave them. */
  readonly volumes: readonly Volume[];
  /** The block devices that it asks for: all of `planDisks`. */
  readonly disks: readonly GuestDisk[];
  /** Pid, in the guest, of the pod's first container, whose namespaces a further one may join. */
  readonly podPid?: number;
  /** Of its cgroup; default: its id below the root. */
  readonly cgroupsPath?: string;
}

/** The host's hardware, and what its kernel knows by name: the guest's is another. */
const HOST_LINUX = ["seccomp", "mountLabel", "intelRdt", "rootfsPropagation", "memoryPolicy", "netDevices"];
const HOST_PROCESS = ["apparmorProfile", "selinuxLabel", "execCPUAffinity"];
const HOST_RESOURCES = ["blockIO", "hugepageLimits", "network", "rdma", "devices"];
const HOST_CPU = ["cpus", "mems"];
/** Namespaces that a pod's containers share by a path. */
const POD_NAMESPACES = ["ipc", "uts", "pid"];
/** Nodes that every kernel has under these numbers, `major:minor`. */
const SAME_EVERYWHERE = new Set(["1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:2", "10:229"]);
const PROPAGATION = /^r?(private|slave|shared|unbindable)$/;

/**
 * config.json for the guest's engine, from the bundle's, which `parseSpec` has accepted. The rootfs and the sources of bind mounts are below the
 * share. The network (with its sysctls) and the devices are the guest's own, cgroups begin at its root. Pure. Throws
 * InvalidSpec, with the field, for what a guest can't have.
 */
export function toGuestSpec(spec: JsonObject, places: GuestPlaces): JsonObject {
  const linux = object(spec.linux);
  const kept = without(spec, ["process", "solaris", "windows", "vm", "zos"]);
  return {
    ...kept,
    ...(spec.process === undefined || spec.process === null ? {} : { process: toGuestProcess(spec.process) }),
    root: { path: guestPath(places.id, "rootfs"), readonly: object(spec.root).readonly === true },
    mounts: list(spec.mounts).map((mount, i) => toGuestMount(mount, i, places)),
    linux: toGuestLinux(linux, places),
  };
}

function isNetwork(sysctl: string): boolean {
  return /^net[./]/.test(sysctl);
}

/** An OCI process without what only the host's kernel knows. */
export function toGuestProcess(process: unknown): JsonObject {
  return without(object(process), HOST_PROCESS);
}

/** OCI resources without limits that are about the host's hardware. */
export function toGuestResources(value: unknown): JsonObject {
  const resources = object(value);
  const cpu =
    resources.cpu === undefined || resources.cpu === null ? {} : { cpu: without(object(resources.cpu), HOST_CPU) };
  return { ...without(resources, HOST_RESOURCES), ...cpu };
}

function toGuestLinux(linux: JsonObject, places: GuestPlaces): JsonObject {
  const { resources, devices, sysctl } = linux;
  const own = Object.entries(object(sysctl)).filter(([name]) => !isNetwork(name));
  return {
    ...without(linux, [...HOST_LINUX, "resources", "devices"]),
    sysctl: Object.fromEntries(own),
    cgroupsPath: places.cgroupsPath ?? `/${places.id}`,
    namespaces: list(linux.namespaces).flatMap((namespace, i) => toGuestNamespace(object(namespace), i, places)),
    ...guestResources(resources, places.disks),
    devices: list(devices).map((device, i) => toGuestDevice(object(device), i, places.disks)),
  };
}

/** The guest's numbers of a container's disks; all other rules are about the host's devices. */
function guestResources(resources: unknown, disks: readonly GuestDisk[]): JsonObject {
  if ((resources === undefined || resources === null) && disks.length === 0) return {};
  const rules = disks.flatMap(({ access, inGuest: { major, minor } }) =>
    access === "" ? [] : [{ allow: true, type: "b", major, minor, access }],
  );
  return { resources: { ...toGuestResources(resources), ...(rules.length > 0 && { devices: rules }) } };
}

function toGuestMount(value: unknown, index: number, { id, volumes, disks }: GuestPlaces): JsonObject {
  const mount = object(value);
  const options = list(mount.options).map(String);
  const disk = disks.find((each) => each.list === "mounts" && each.index === index);
  if (disk)
    return { ...mount, source: `/dev/${disk.name}`, options: options.filter((word) => !PROPAGATION.test(word)) };
  const number = volumes.findIndex((volume) => volume.mount === index);
  if (number >= 0)
    return { ...mount, source: guestPath(id, number), options: options.filter((word) => !PROPAGATION.test(word)) };
  return isBind(text(mount.type), options) ? { ...mount, source: GUEST_SHM } : mount;
}

/** The guest has one network, that of the pod; other namespaces are new, or those of the pod's first container. */
function toGuestNamespace({ type, path }: JsonObject, index: number, { podPid }: GuestPlaces): JsonObject[] {
  if (type === "network") return [];
  if (path === undefined || path === null || path === "") return [{ type }];
  if (!POD_NAMESPACES.includes(text(type)))
    throw new InvalidSpec(
      `linux.namespaces[${index}].path`,
      "a namespace of the host can't be joined from a guest",
      path,
    );
  return [podPid === undefined ? { type } : { type, path: `/proc/${podPid}/ns/${text(type)}` }];
}

function toGuestDevice(device: JsonObject, index: number, disks: readonly GuestDisk[]): JsonObject {
  const { path, type } = device;
  const disk = disks.find((each) => each.list === "devices" && each.index === index);
  if (disk) return { ...device, ...disk.inGuest };
  const isKnown =
    type === "p" || ((type === "c" || type === "u") && SAME_EVERYWHERE.has(`${device.major}:${device.minor}`));
  if (isKnown) return device;
  throw new InvalidSpec(`linux.devices[${index}]`, "a device of the host is not in the guest", path);
}
