import { readFileSync, type Stats, statSync } from "node:fs";
import {
  DEVICE_ACCESS,
  InvalidSpec,
  isDeviceAllowed,
  parseResources,
  reduceDeviceRules,
  type Spec,
} from "@trimaran/linux";
import { isBind } from "./volumes.ts";

/** A block device's number. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

/** A block device of the host's that a container is to have: as a node in its /dev, a node at a mount's target, or a mounted file system. */
export interface WantedDisk extends DeviceNumber {
  readonly list: "devices" | "mounts";
  /** Index in `linux.devices`, or in `mounts`. */
  readonly index: number;
  /** For messages: `linux.devices[0] "/dev/data"`. */
  readonly field: string;
  /** What the container may do with it: of `r` and `w`; empty where its cgroup denies both. */
  readonly access: string;
}

/** The same, in the guest. */
export interface GuestDisk extends WantedDisk {
  /** Its node is in the guest's /dev. */
  readonly name: string;
  readonly inGuest: DeviceNumber;
}

/** A block device as the host has it. */
export interface HostDisk extends DeviceNumber {
  /** Of its node in /dev. */
  readonly path: string;
  /** Nobody can write to it. */
  readonly isReadOnly: boolean;
  readonly sectorBytes: number;
}

/** What only the owner of a device decides may be followed there, and nothing there waits for another machine. */
const DEVICES = "/dev/";

/**
 * The block devices that a container asks for: those of `linux.devices`, as its cgroup's rules let it use them, and mounts of one below /dev, read-only as
 * their options say. Throws InvalidSpec and CgroupError.
 */
export function planDisks({ mounts, linux }: Pick<Spec, "mounts" | "linux">): readonly WantedDisk[] {
  const blocks = linux.devices.map((device, index) => ({ ...device, index })).filter(({ type }) => type === "b");
  const rules = reduceDeviceRules(blocks.length === 0 ? [] : (parseResources(linux.resources)?.devices ?? []));
  const isAllowed = ({ major, minor }: DeviceNumber, access: "r" | "w") =>
    isDeviceAllowed(rules, "b", major, minor, DEVICE_ACCESS[access]);
  const devices = blocks.map(({ path, major, minor, index }) => ({
    ...({ list: "devices", index, major, minor } as const),
    field: `linux.devices[${index}] ${JSON.stringify(path)}`,
    access: (["r", "w"] as const).filter((access) => isAllowed({ major, minor }, access)).join(""),
  }));
  return [...devices, ...mounts.flatMap(mountedDisk)];
}

/** Whether a guest's answer can be one: the name becomes a path, in a container's configuration. */
export function isGuestDisk({ name, major, minor }: DeviceNumber & { readonly name: string }): boolean {
  return /^sd[a-z]{1,4}$/.test(name) && major <= 0xfff && minor <= 0xfffff;
}

/** The block devices that a rootfs is on (as containerd's devmapper has it): the host mounts it, and the guest gets its files. */
export function rootfsDevices(rootfs: Spec["mounts"]): readonly WantedDisk[] {
  return rootfs.flatMap(mountedDisk);
}

/** Where a block device is on this host. Throws InvalidSpec where it has none of that number. */
export function findHostDisk({ major, minor, field }: WantedDisk, root = "/"): HostDisk {
  const folder = `${root}sys/dev/block/${major}:${minor}`;
  try {
    const name = /^DEVNAME=(.+)$/m.exec(readFileSync(`${folder}/uevent`, "utf8"))?.[1] ?? "";
    const path = `${root}dev/${name}`;
    const node = statSync(path);
    if (!node.isBlockDevice() || node.rdev !== deviceOf({ major, minor })) throw new Error(`${path} is another device`);
    return { major, minor, path, isReadOnly: isReadOnly(folder), sectorBytes: sectorBytes(folder) };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec(field, `this host has no block device ${major}:${minor} (${why})`);
  }
}

function mountedDisk({ type, source, target, options }: Spec["mounts"][number], index: number): WantedDisk[] {
  if (!source.startsWith(DEVICES) || (!isBind(type, options) && type === "")) return [];
  const node: Stats | undefined = statSync(source, { throwIfNoEntry: false });
  if (!node?.isBlockDevice()) return [];
  const word = options.findLast((each) => ["ro", "rw", "rro", "rrw"].includes(each));
  const access = word === "ro" || word === "rro" ? "r" : "rw";
  return [
    { list: "mounts", index, field: `mounts[${index}] ${JSON.stringify(target)}`, access, ...numberOf(node.rdev) },
  ];
}

/** st_rdev of the C library, for the kernel's 12 and 20 bits. */
function numberOf(rdev: number): DeviceNumber {
  return { major: (rdev >>> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}

function deviceOf({ major, minor }: DeviceNumber): number {
  return ((major << 8) | (minor & 0xff) | ((minor & ~0xff) << 12)) >>> 0;
}

function isReadOnly(folder: string): boolean {
  return readFileSync(`${folder}/ro`, "utf8").trim() === "1";
}

/** A partition has its disk's. */
function sectorBytes(folder: string): number {
  for (const place of ["queue", "../queue"]) {
    try {
      return Number(readFileSync(`${folder}/${place}/logical_block_size`, "utf8"));
    } catch {
      // the other one
    }
  }
  return 512;
}
